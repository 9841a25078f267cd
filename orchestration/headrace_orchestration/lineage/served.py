"""Of which events a view's values online are made: by the store, the lake and the broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headrace_batch.lineage import spans_of
from headrace_batch.provenance import FileTaken, layer_made
from headrace_batch.warehouse import Warehouse
from headrace_features.lineage.places import file_place, store_place
from headrace_features.lineage.told import FACTS_FACET, OFFSETS_FACET, Span
from headrace_features.online.layers import ALWAYS_MS, NEVER_MS
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_schemas.errors import HeadraceError
from headrace_streaming.job.assembly import consumer_group
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.epochs import deployments
from headrace_streaming.kafka.reading import reached

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.online.layers import Generation, StreamSpan
    from headrace_orchestration.lineage.graph import Graph
    from headrace_schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class BatchServed:
    """The batch layer that readers get.

    Attributes:
        generation: its number.
        boundary_ms: it has what was before, ms UTC.
        whole_ms: until when it has all events, ms UTC.
        known_ms: of events that can become known later than they were it has those that were known
            by then, ms UTC; None where it leaves none out.
        tiles: the name of the table of tiles that it was made of.
        tiles_version: of that table; None where the lake no longer tells.
        events_version: of the source's table, likewise.
        offsets: by partition of the source's topic the records that it was made of; empty where
            the table has taken in no topic.
        files: those that it was made of, as far back as the table's log reaches.
    """

    generation: int
    boundary_ms: int
    whole_ms: int
    known_ms: int | None
    tiles: str | None = None
    tiles_version: int | None = None
    events_version: int | None = None
    offsets: Mapping[int, Span] | None = None
    files: tuple[FileTaken, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamServed:
    """The stream layer that readers get.

    Attributes:
        epoch: number of the deployment that has written it last.
        since_ms: it has all events from this event time on, ms UTC; None is from the beginning.
        current_ms: it has all that was sent by then, ms UTC; None where that isn't known.
        offsets: by partition of the source's topic the records that the job has taken in; None
            where the broker doesn't tell.
    """

    epoch: int
    since_ms: int | None
    current_ms: int | None
    offsets: Mapping[int, Span] | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """Both layers; None for one that isn't there."""

    batch: BatchServed | None
    stream: StreamServed | None


def served(settings: Settings, graph: Graph, view: FeatureView) -> Served:
    """What readers of a view get, and of which events that is made.

    Args:
        settings: where store, lake and broker are.
        graph: of recorded runs, which know what the lake's logs no longer tell.
        view: as it is served.

    Raises:
        ConfigurationError: a table is damaged.
        RetryableError: the online store or the lake doesn't answer.
    """
    key = view_key(view)
    batch, stream = layers_of(open_store(settings), [key])[key]
    return Served(
        None if batch is None else _batch(settings, graph, view, batch),
        None if stream is None or stream.since_ms >= NEVER_MS else _stream(settings, view, stream),
    )


def _batch(
    settings: Settings, graph: Graph, view: FeatureView, generation: Generation
) -> BatchServed:
    made = layer_made(Warehouse.of(settings), view, generation)
    found = BatchServed(
        generation.id, generation.boundary_ms, generation.whole_ms, generation.known_ms
    )
    if made is None:
        return _recorded(settings, graph, view, found)
    found = replace(found, tiles=made.tiles, tiles_version=made.tiles_version)
    events = made.events
    if events is None:
        return _recorded(settings, graph, view, found)
    return replace(
        found,
        events_version=events.version,
        offsets=spans_of(events),
        files=events.files,
    )


def _recorded(
    settings: Settings, graph: Graph, view: FeatureView, found: BatchServed
) -> BatchServed:
    """The same with what the run that made the generation has told of its events."""
    layer = graph.named(store_place(settings, view_key(view)))
    table = graph.named(file_place(Warehouse.of(settings).uri(view.source.table)))
    for run in graph.writers.get(layer, {}).values():
        made = run.writes.get(layer, {}).get(FACTS_FACET, {}).get("facts", {})
        told = run.reads.get(table, {})
        version = told.get("version", {}).get("datasetVersion")
        if made.get("generation") == found.generation and version is not None:
            partitions = told.get(OFFSETS_FACET, {}).get("partitions", {})
            offsets = {
                int(number): Span(one["first"], one["before"]) for number, one in partitions.items()
            }
            return replace(found, events_version=int(version), offsets=offsets)
    return found


def _stream(settings: Settings, view: FeatureView, stream: StreamSpan) -> StreamServed:
    return StreamServed(
        stream.epoch,
        None if stream.since_ms <= ALWAYS_MS else stream.since_ms,
        stream.current_ms or None,
        taken_in(settings, view, stream.epoch),
    )


def taken_in(settings: Settings, view: FeatureView, epoch: int) -> dict[int, Span] | None:
    """What a deployment has read of a view's topic, up to its newest checkpoint.

    Args:
        settings: where the broker is.
        view: whose topic.
        epoch: number of the deployment.

    Returns:
        By partition the records, from those on that the state began with which it goes on from;
        None if the broker doesn't tell.
    """
    project = settings.project.name
    full_name = f"{project}.{view.namespace}" if view.namespace else project
    try:
        kafka = kafka_config(settings)
        told = deployments(kafka, project, view.namespace)
        starts: Mapping[int, int] = {}
        for one in told:
            # One that goes on from another has what that had.
            if one.epoch <= epoch and one.told.anew and one.told.starts is not None:
                starts = one.told.starts.get(view.source.name, {})
        done = reached(kafka, consumer_group(full_name, epoch), view.source.topic)
    except HeadraceError:
        # One that is down keeps nobody from looking at what the lake tells.
        return None
    return {
        number: Span(starts.get(number, 0), max(before, starts.get(number, 0)))
        for number, before in sorted(done.items())
    }
