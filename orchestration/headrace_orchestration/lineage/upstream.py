"""What a feature is made of: columns, the table of events, its topic and files, and by whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headrace_batch.lineage import spans_of
from headrace_batch.provenance import EventsMade, FileTaken, events_made
from headrace_batch.quarantine.releasing import RELEASED
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.on_demand import OnDemandView
from headrace_features.lineage.columns import Use, column_uses
from headrace_features.lineage.places import file_place, topic_place
from headrace_features.lineage.told import Span
from headrace_orchestration.lineage.nodes import Node, recorded_above, writers

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.views import FeatureView
    from headrace_orchestration.lineage.graph import Graph
    from headrace_schemas.settings import Settings

_SPELLED = {
    Use.AGGREGATED: "aggregated",
    Use.CHOSEN: "chosen",
    Use.GROUPS: "grouped",
    Use.WINDOWS: "window",
    Use.ORDERS: "ordered",
    Use.FILTERS: "filtered",
}


def feature_above(settings: Settings, graph: Graph, view: FeatureView, name: str) -> Node:
    """What a feature of a view is made of.

    Raises:
        ConfigurationError: the table of events is damaged.
        RetryableError: the lake can't be reached.
    """
    columns: dict[str, list[str]] = {}
    for use in column_uses(view, view.feature(name)):
        columns.setdefault(use.column, []).append(f"{_SPELLED[use.use]}: {use.told}")
    return _events(settings, graph, view.source, columns)


def on_demand_above(
    settings: Settings, graph: Graph, view: OnDemandView, name: str
) -> tuple[Node, ...]:
    """What a feature that is computed on demand is made of."""
    expression = view.feature(name).expression
    nodes = [
        Node("request", column, {"type": str(kind)})
        for column, kind in view.request_types.items()
        if column in expression.columns
    ]
    for selection in view.reads([name]):
        for read in selection.names:
            above = feature_above(settings, graph, selection.view, read)
            nodes.append(Node("feature", f"{selection.view.name}:{read}", following=(above,)))
    return tuple(nodes)


def _events(
    settings: Settings, graph: Graph, source: EventSource, columns: Mapping[str, Sequence[str]]
) -> Node:
    """The table of a source's events."""
    warehouse = Warehouse.of(settings)
    place = file_place(warehouse.uri(source.table))
    topic = topic_place(settings, source.topic)
    made = events_made(warehouse, source)
    files = () if made is None else made.files
    facts: dict[str, Any] = {"uri": warehouse.uri(source.table), "columns": columns}
    if made is not None:
        facts["version"] = made.version
    if source.owner:
        facts["owner"] = source.owner
    following = (
        Node(
            "topic",
            source.topic,
            {"namespace": topic.namespace, "offsets": _offsets(made)},
            writers(graph, topic),
            recorded_above(graph, topic),
        ),
        *map(_file, files),
        *recorded_above(graph, place, [topic, *(file_place(one.file) for one in files)]),
    )
    return Node("table", source.table, facts, writers(graph, place), following)


def _file(one: FileTaken) -> Node:
    """A file, or rows of a source that were released from its quarantine."""
    facts = {"ingest_id": one.ingest_id, "table_version": one.version}
    if one.file.startswith(RELEASED):
        return Node("quarantine", one.file.removeprefix(RELEASED), facts)
    return Node("file", one.file, facts)


def _offsets(made: EventsMade | None) -> dict[str, list[int]]:
    return {} if made is None else spelled_offsets(spans_of(made))


def spelled_offsets(spans: Mapping[int, Span]) -> dict[str, list[int]]:
    """Records by partition, for programs: the first offset, and the one after the last."""
    return {str(number): [span.first, span.before] for number, span in sorted(spans.items())}
