"""Of which events one served value is made: by the oracle's meaning, out of the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace_batch.entity_events import PLACE, entity_rows
from headrace_batch.local_events import Span
from headrace_batch.quarantine.released_places import released_places
from headrace_batch.warehouse import Warehouse
from headrace_features.lineage.told import Span as Offsets
from headrace_features.oracle import SpineRow, rows_of
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.tables import KAFKA_OFFSET, KAFKA_PARTITION

if TYPE_CHECKING:
    from headrace_batch.quarantine.released_places import Place
    from headrace_features.definitions.views import Feature, FeatureView
    from headrace_orchestration.lineage.served import BatchServed, Served
    from headrace_schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class EventUsed:
    """One event that a value is made of.

    Attributes:
        key: its dedup key.
        event_time: when it was, ms UTC.
        layer: `batch` or `stream`, whichever readers have it from; `none` if the lake has it, and
            neither layer is known to.
        topic, partition, offset: where it was in Kafka; None for one that came in a file. Of one
            that was released into the table where its record was.
    """

    key: str
    event_time: int
    layer: str
    topic: str | None
    partition: int | None
    offset: int | None


def events_used(
    settings: Settings,
    view: FeatureView,
    feature: Feature,
    spine: SpineRow,
    served: Served,
) -> list[EventUsed]:
    """The events that the value of a feature is made of, as far as the lake has them.

    Args:
        settings: where the lake is.
        view: as it is served.
        feature: of the view.
        spine: the entity, and the time that is asked for.
        served: the layers that readers get.

    Raises:
        ConfigurationError: the lake has no events, or a table is damaged.
        RetryableError: the lake can't be reached.
    """
    warehouse = Warehouse.of(settings)
    lookback_ms = view.lookback_ms
    first_ms = None if lookback_ms is None else spine.time_ms - lookback_ms
    span = Span(first_ms, spine.time_ms)
    rows = entity_rows(warehouse, view, spine.key, span)
    counting = rows_of(view, feature, rows, spine)
    made = _made(warehouse, view, spine.key, span, served.batch, counting)
    dedup = view.source.dedup_key
    placeless = {str(row[dedup]) for row in counting if row[KAFKA_PARTITION] is None}
    released = released_places(warehouse, view.source, placeless)
    return [_used(view, row, served, made, released.get(str(row[dedup]))) for row in counting]


def _made(  # noqa: PLR0913, PLR0917 - what it is told from
    warehouse: Warehouse,
    view: FeatureView,
    key: str | int,
    span: Span,
    batch: BatchServed | None,
    rows: Sequence[Mapping[str, Any]],
) -> set[Any]:
    """The dedup keys of those rows that the table had when the batch layer was made of it.

    Of records their offsets tell that. Of what came in a file only the table as it was then does,
    as long as its data files are there; after that it counts as having been there.
    """
    if batch is None:
        return set()
    dedup = view.source.dedup_key
    in_files = {row[dedup] for row in rows if row[KAFKA_PARTITION] is None}
    if in_files and batch.events_version is not None:
        with suppress(ConfigurationError):
            then = entity_rows(warehouse, view, key, span, batch.events_version)
            in_files &= {row[dedup] for row in then}
    return in_files | {row[dedup] for row in rows if _is_in(batch.offsets, row)}


def _is_in(offsets: Mapping[int, Offsets] | None, row: Mapping[str, Any]) -> bool:
    """Whether a record is among those of some offsets."""
    found = (offsets or {}).get(row[KAFKA_PARTITION])
    return found is not None and found.first <= row[KAFKA_OFFSET] < found.before


def _used(
    view: FeatureView,
    row: Mapping[str, Any],
    served: Served,
    made: set[Any],
    released: Place | None,
) -> EventUsed:
    source = view.source
    time_ms, key = row[source.event_time], row[source.dedup_key]
    topic, partition, offset = released or (row[name] for name in PLACE)
    return EventUsed(key, time_ms, _layer(view, row, served, key in made), topic, partition, offset)


def _layer(view: FeatureView, row: Mapping[str, Any], served: Served, in_batch: bool) -> str:  # noqa: FBT001 - whether the layer's table had it
    source, batch, stream = view.source, served.batch, served.stream
    if batch is not None and in_batch:
        ends_ms = batch.boundary_ms if stream is None else batch.whole_ms
        known = (
            batch.known_ms is None
            or row[source.available_at or source.event_time] <= batch.known_ms
        )
        if row[source.event_time] < ends_ms and known:
            return "batch"
    if stream is not None and _is_in(stream.offsets, row):
        return "stream"
    return "none"
