"""The definitions of registered views: those of the registry, whatever code declares by now."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.definitions.portable import from_portable
from headrace_features.feast_plugin.changes import DEFINITION_TAG, FINGERPRINT_TAG, UNREGISTERED
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    import feast

    from headrace_features.definitions.on_demand import OnDemandView
    from headrace_features.definitions.views import FeatureView
    from headrace_features.project import Project


def registered_definition(table: feast.FeatureView, project: Callable[[], Project]) -> FeatureView:
    """The definition under which a view of ours was registered.

    Args:
        table: the view as Feast knows it.
        project: what code declares; asked for only where the registry has no definition, as
            earlier releases have left it.

    Raises:
        ConfigurationError: the registry's definition can't be read, or there is none and code
            declares something else than what was registered.
    """
    text = table.tags.get(DEFINITION_TAG)
    if text is not None:
        return _defined(table.name, text, table.tags[FINGERPRINT_TAG])
    view = project().view(table.name)
    require_as_registered("feature view", table, view)
    return view


def require_as_registered(
    what: str,
    table: feast.FeatureView | feast.OnDemandFeatureView,
    view: FeatureView | OnDemandView | None,
) -> None:
    """See that code declares a view as it was registered.

    Raises:
        ConfigurationError: it means something else, or is declared no more.
    """
    if view is None or fingerprint(view) != table.tags[FINGERPRINT_TAG]:
        raise ConfigurationError(
            f"{what} {table.name} is not registered as it is declared", hint=UNREGISTERED
        )


# Feast makes its objects anew whenever it reads the registry; equal texts are equal views.
@lru_cache(maxsize=1024)
def _defined(name: str, text: str, registered: str) -> FeatureView:
    hint = "run: headrace apply, from the code that declares it"
    try:
        view = from_portable(json.loads(text))
    except ValueError as error:
        raise ConfigurationError(
            f"the registry's definition of feature view {name} is no JSON: {error}", hint=hint
        ) from error
    except ConfigurationError as error:
        raise ConfigurationError(
            f"feature view {name} can't be read from the registry: {error.message}", hint=hint
        ) from error
    if fingerprint(view) != registered:
        raise ConfigurationError(
            f"the registry's definition of feature view {name} is not what was registered",
            hint=hint,
        )
    return view
