"""`headrace lineage`: where a feature comes from, and where it goes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_orchestration.output import (
    Branch,
    JsonOption,
    console,
    print_json,
    print_table,
    print_tree,
)
from headrace_orchestration.session import current_project
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from headrace_features.definitions.on_demand import OnDemandView
    from headrace_features.definitions.views import FeatureView
    from headrace_features.oracle import SpineRow
    from headrace_features.project import Project
    from headrace_orchestration.lineage.nodes import Node
    from headrace_orchestration.lineage.report import FeatureLineage
    from headrace_orchestration.lineage.runs import Run
    from headrace_orchestration.lineage.served import Served
    from headrace_orchestration.lineage.value import EventUsed
    from headrace_schemas.settings import Settings

Feature = Annotated[
    str, typer.Argument(metavar="VIEW:FEATURE", help="Such as card_activity:count_1d.")
]
EntityOption = Annotated[
    str | None,
    typer.Option("--entity", help="join_key=value: also the events that its value is made of."),
]
AsOf = Annotated[
    str | None,
    typer.Option(help="With --entity: the time asked for, ISO text or ms UTC. Default: now."),
]

#: So many events, files and the like are shown to people; programs get all.
_SHOWN = 10


def lineage(
    feature: Feature,
    entity: EntityOption = None,
    as_of: AsOf = None,
    as_json: JsonOption = False,
) -> None:
    r"""What a feature is made of, down to columns, topics and offsets, and what is made of it.

    Definitions, lake and online store tell that by themselves. Recorded runs, ours and those of
    others in the folder of \[lineage], add who has done it and when, and what else was made.
    """
    from headrace_features.online.live import live_project
    from headrace_orchestration.lineage.report import described, feature_lineage

    settings, project = current_project()
    view, name = _view_of(project, live_project(settings, project), feature)
    spine = None if entity is None and as_of is None else _asked(view, entity, as_of)
    found = feature_lineage(settings, project, view, name)
    used = None if spine is None else _used(settings, view, name, spine, found.served)
    if as_json:
        print_json(described(found, used))
        return
    _show(found)
    if spine is not None and used is not None:
        _show_events(spine, used)


def _view_of(
    project: Project, live: Project, feature: str
) -> tuple[FeatureView | OnDemandView, str]:
    """The view of a feature as it is served, and the feature's name in it."""
    view, _, name = feature.partition(":")
    known: dict[str, FeatureView | OnDemandView] = {**live.views, **project.on_demand}
    if view not in known:
        raise ConfigurationError.unknown("feature view", view, known)
    found = known[view]
    if not name:
        raise ConfigurationError(
            f"{view} is a view, and the lineage is that of a feature",
            hint=f"such as {view}:{found.feature_names[0]}",
        )
    return found, found.feature(name).name


def _asked(view: FeatureView | OnDemandView, entity: str | None, as_of: str | None) -> SpineRow:
    """The entity and the time of a value."""
    import time

    from headrace_features.definitions.on_demand import OnDemandView
    from headrace_features.online.query_times import as_of_ms
    from headrace_features.oracle import SpineRow

    if isinstance(view, OnDemandView):
        raise ConfigurationError(
            f"{view.name} is computed for each request, of other features",
            hint="ask for the events of one that its lineage names",
        )
    if entity is None:
        raise ConfigurationError("--as-of goes with --entity", hint=f"{view.entity.join_key}=…")
    key, _, value = entity.partition("=")
    if key != view.entity.join_key:
        raise ConfigurationError.unknown("join key", key, [view.entity.join_key])
    integer = view.source.column(key).type is ColumnType.INT64
    if integer and not re.fullmatch("-?[0-9]+", value):
        raise ConfigurationError(f"--entity {entity}: {key} is an integer")
    now_ms = time.time_ns() // 1_000_000
    moment: str | int = now_ms
    if as_of is not None:
        moment = int(as_of) if re.fullmatch("-?[0-9]+", as_of) else as_of
    return SpineRow(int(value) if integer else value, as_of_ms(moment, now_ms))


def _used(
    settings: Settings,
    view: FeatureView | OnDemandView,
    name: str,
    spine: SpineRow,
    served: Served | None,
) -> Sequence[EventUsed]:
    from headrace_features.definitions.views import FeatureView
    from headrace_orchestration.lineage.value import events_used

    if served is None or not isinstance(view, FeatureView):
        return ()
    return events_used(settings, view, view.feature(name), spine, served)


def _show(found: FeatureLineage) -> None:
    told = [f"{found.feature}, {found.type}, version {found.version}"]
    told += [f"owner {found.owner}"] if found.owner else []
    told += [f"{name}={value}" for name, value in found.tags.items()]
    branches = [Branch("made of", [_branch(node) for node in found.upstream])]
    if found.served is not None:
        branches.append(Branch("served", [Branch(line) for line in _served_lines(found.served)]))
    branches.append(Branch("goes to", [_branch(node) for node in found.downstream]))
    if found.description:
        branches.insert(0, Branch(found.description))
    print_tree(Branch(", ".join(told), branches))
    if not found.runs:
        console().print("no run is recorded yet: who has made what is told from the next one on")


def _branch(node: Node) -> Branch:
    below = [
        Branch(f"column {column}: {'; '.join(uses)}")
        for column, uses in node.facts.get("columns", {}).items()
    ]
    below += [Branch(f"by {_spelled_run(run)}") for run in node.runs]
    below += [_branch(one) for one in node.following[:_SHOWN]]
    left = len(node.following) - _SHOWN
    if left > 0:
        below.append(Branch(f"and {left} more: --json has all"))
    return Branch(f"{node.kind} {node.name}{_spelled_facts(node.facts)}", below)


def _spelled_facts(facts: Mapping[str, Any]) -> str:
    told = []
    for name, value in facts.items():
        if name == "offsets" and all(before <= first for first, before in value.values()):
            told.append("declared, nothing of it is in the lake")
        elif name == "columns" or value in (None, "", [], {}):
            continue
        elif name == "offsets":
            told.append(f"offsets {_spelled_offsets(value)}")
        elif isinstance(value, list):
            told.append(f"{name.replace('_', ' ')} {', '.join(map(str, value))}")
        elif isinstance(value, bool):
            told.append(name.replace("_", " ") if value else f"not {name.replace('_', ' ')}")
        else:
            told.append(f"{name.replace('_', ' ')} {value}")
    return f" ({'; '.join(told)})" if told else ""


def _spelled_offsets(offsets: Mapping[str, Sequence[int]]) -> str:
    spelled = [
        f"{first} to {before - 1} of partition {number}"
        if before > first
        else f"none of partition {number}"
        for number, (first, before) in offsets.items()
    ]
    return ", ".join(spelled)


def _spelled_run(run: Run) -> str:
    at = f"{run.ended or run.began}"[:19].replace("T", " ")
    told = f"{run.job.namespace}/{run.job.name} at {at}, run {run.run}"
    if run.parent is None:
        return told
    job, parent = run.parent
    return f"{told}, of {job.namespace}/{job.name}, run {parent}"


def _served_lines(served: Served) -> Iterator[str]:
    from headrace_orchestration.lineage.upstream import spelled_offsets

    batch, stream = served.batch, served.stream
    if batch is None:
        yield "no batch layer"
    else:
        told = f"batch: generation {batch.generation}, all before {_moment(batch.boundary_ms)}"
        yield (
            told
            if batch.events_version is None
            else (f"{told}, made of version {batch.events_version} of the events")
        )
        if batch.offsets:
            yield f"batch: offsets {_spelled_offsets(spelled_offsets(batch.offsets))}"
        for one in batch.files[:_SHOWN]:
            yield f"batch: file {one.file}, {one.ingest_id}"
        if len(batch.files) > _SHOWN:
            yield f"batch: and {len(batch.files) - _SHOWN} files more: --json has all"
        if batch.events_version is None:
            yield "batch: the logs of the lake no longer tell of which events"
    if stream is None:
        yield "no stream layer"
    else:
        since = "all" if stream.since_ms is None else f"all since {_moment(stream.since_ms)}"
        yield f"stream: deployment {stream.epoch}, {since}"
        if stream.offsets:
            yield f"stream: offsets {_spelled_offsets(spelled_offsets(stream.offsets))}"
        elif stream.offsets is None:
            yield "stream: the broker, which knows its offsets, doesn't answer"


def _show_events(spine: SpineRow, used: Sequence[EventUsed]) -> None:
    """The newest events of a value, and how many there are."""
    told = f"{len(used):,} events make the value of {spine.key} at {_moment(spine.time_ms)}"
    console().print(f"{told}{', the newest of them:' if len(used) > _SHOWN else ''}")
    print_table(
        None,
        ("event", "at", "layer", "topic", "partition", "offset"),
        _rows(reversed(used[-_SHOWN:])),
    )


def _rows(used: Iterable[EventUsed]) -> Iterator[tuple[object, ...]]:
    for one in used:
        topic = one.topic or "a file"
        yield one.key, _moment(one.event_time), one.layer, topic, one.partition, one.offset


def _moment(time_ms: int) -> str:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
