"""Requests that have more than features of our views, as Feast's stores answer them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feast import utils as feast_utils

from headrace_features.definitions.views import SEPARATOR
from headrace_features.feast_plugin.entity_rows import (
    FRESHNESS,
    RESERVED,
    freshness_wanted,
    join_key_of,
    key_values,
    moments_of,
)
from headrace_features.feast_plugin.objects import is_ours, terms_of
from headrace_features.feast_plugin.on_demand_reading import fill_computed
from headrace_features.feast_plugin.responses import (
    ExactResponse,
    fill,
    fill_freshness,
    fill_version,
    integer_columns,
)
from headrace_features.online.served import Query, ViewQuery
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason

if TYPE_CHECKING:
    from feast import FeatureService

    from headrace_features.feast_plugin.opened import Opened


@dataclass(frozen=True, slots=True)
class FeastRequest:
    """What Feast is asked for, whatever the rows.

    Attributes:
        context: as Feast has resolved it.
        features: references, or a service.
        registry: Feast's.
        project: its name.
        full_feature_names: whether features are named with their view.
        versions: whether the answer says which version of each view it is.
    """

    context: Any
    features: list[str] | FeatureService
    registry: Any
    project: str
    full_feature_names: bool
    versions: bool

    @staticmethod
    def of(
        features: list[str] | FeatureService,
        registry: Any,
        project: str,
        full_feature_names: bool,  # noqa: FBT001 - as Feast passes it
        versions: bool,  # noqa: FBT001 - as Feast passes it
    ) -> FeastRequest:
        """A request as Feast resolves it, and remembers that."""
        context = feast_utils._get_cached_request_context(  # noqa: SLF001 - no public one
            registry, project, features, full_feature_names
        )
        return FeastRequest(context, features, registry, project, full_feature_names, versions)


def answer(
    opened: Opened,
    request: FeastRequest,
    columns: Mapping[str, Sequence[Any]],
    now_ms: int,
    feature_types: Callable[[Any], dict[str, Any]],
) -> ExactResponse:
    """The answer to a request, ours in one round trip.

    Args:
        opened: stores and definitions.
        request: what is asked for.
        columns: of the entity rows.
        now_ms: the time of rows that name none.
        feature_types: Feast's types of the features of some views.

    Raises:
        BadRecordError: the rows have values of another type.
        ConfigurationError: a view doesn't mean what was registered.
        RetryableError: a store doesn't answer, or values are incomplete and that is refused.
    """
    full_names = request.full_feature_names
    reserved, columns = _parted(request.context, columns)
    (
        join_key_values,
        grouped,
        join_keys,
        on_demand,
        references,
        wanted,
        response,
    ) = _prepared(request, opened.on_demand.for_feast(request.features, columns))
    rows = len(next(iter({**columns, **reserved}.values())))
    moments = moments_of(reserved, rows, now_ms)
    computed = opened.on_demand.reading(
        on_demand, references, columns, full_feature_names=full_names
    )
    ours: list[tuple[str, ViewQuery]] = []
    plain = []
    for table, names in grouped:
        if not is_ours(table):
            plain.append((table, names))
            continue
        served = opened.served(table, frozenset(names))
        key = join_key_of(table, served.view.entity.join_key)
        queries = list(map(Query, key_values(table.name, key, join_key_values), *moments))
        ours.append((table.projection.name_to_use(), ViewQuery(served, queries)))
        if request.versions:
            fill_version(response, table)
    if plain:
        beside = opened.plain
        beside.store._read_features_per_fv(  # noqa: SLF001 - what Feast's stores share
            beside.config, plain, join_key_values, join_keys, response, full_names, request.versions
        )
    asked = [query for _, query in ours]
    asked += computed.beside(
        asked,
        lambda view: list(
            map(Query, key_values(view.name, view.entity.join_key, join_key_values), *moments)
        ),
    )
    answers = opened.server.read(asked, terms_of(request.features))
    integers = computed.integers
    for (name, query), answered in zip(ours, answers, strict=False):
        prefix = f"{name}{SEPARATOR}" if full_names else ""
        fill(response, prefix, query, answered)
        integers += integer_columns(prefix, query.view.asked.features)
    types = feature_types(grouped)
    others = [view for view in on_demand if not is_ours(view)]
    if others:
        computed.restore(response)
        feast_utils._augment_response_with_on_demand_transforms(  # noqa: SLF001 - no public one
            response, references, others, full_names, feature_types=types
        )
    computed.take_away(response)
    fill_computed(response, computed.computed(asked, answers, rows))
    feast_utils._drop_unneeded_columns(response, wanted)  # noqa: SLF001 - no public one
    if freshness_wanted(reserved.get(FRESHNESS)):
        for (name, query), answered in zip(ours, answers, strict=False):
            fill_freshness(response, name, query, answered)
    return ExactResponse(response, types, integers)


def _parted(
    context: Any, columns: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, Sequence[Any]], dict[str, Sequence[Any]]]:
    """What is said by reserved keys, and the other columns; a plain view may use such a name."""
    _, _, _, _, join_keys, _, _, brought, _ = context
    taken = RESERVED - {*join_keys, *brought}
    return (
        {name: values for name, values in columns.items() if name in taken},
        {name: values for name, values in columns.items() if name not in taken},
    )


def _prepared(request: FeastRequest, columns: Mapping[str, Sequence[Any]]) -> Any:
    """What Feast makes of a request.

    Raises:
        BadRecordError: the rows have values of another type; for plain views it is Feast's error.
    """
    _, on_demand, _, _, _, grouped, _, _, _ = request.context
    try:
        return feast_utils._prepare_entities_to_read_from_online_store(  # noqa: SLF001 - no public one
            registry=request.registry,
            project=request.project,
            features=request.features,
            entity_values=columns,
            full_feature_names=request.full_feature_names,
            native_entity_values=True,
        )
    except (TypeError, ValueError, OverflowError) as error:
        if not any(map(is_ours, [*on_demand, *(table for table, _ in grouped)])):
            raise
        raise BadRecordError(
            Reason.WRONG_TYPE, f"the entity rows have values of another type: {error}"
        ) from error
