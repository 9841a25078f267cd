"""A table that was made from a view is tied to what the view means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_features.definitions.fingerprint import fingerprint
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from headrace_features.definitions.views import FeatureView

#: The table property that says of which definition it is.
FINGERPRINT = "headrace.fingerprint"


def require_meaning(table: DeltaTable, view: FeatureView, where: str) -> None:
    """See that a table is that of a view as it is declared.

    Raises:
        ConfigurationError: it is of another definition.
    """
    if table.metadata().configuration.get(FINGERPRINT) != fingerprint(view):
        raise ConfigurationError(
            f"feature view {view.name}: definition changed without a new version; "
            f"{where} holds the values of another one",
            hint=f"declare version={view.version + 1}",
        )
