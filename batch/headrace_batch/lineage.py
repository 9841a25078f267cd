"""What the steps of batch tell of themselves: the tables that they read and wrote, as they are now.

Nothing else depends on it: what the lake's own logs tell is the truth, see `provenance.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace_batch.provenance import EventsMade, events_made, layer_made
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.on_demand import sources_of
from headrace_features.definitions.views import SEPARATOR
from headrace_features.lineage.columns import ColumnUse, Use
from headrace_features.lineage.places import Place, file_place, store_place, topic_place
from headrace_features.lineage.told import (
    MadeOf,
    Outcome,
    Span,
    Told,
    Work,
    told_of_source,
    told_of_view,
)
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_schemas.tables import features_table, quarantine_table, tiles_table

if TYPE_CHECKING:
    from headrace_batch.ingest.report import SourceReport
    from headrace_batch.ingest.topic_report import TopicReport
    from headrace_batch.quality.verdicts import Verdict
    from headrace_features.definitions.on_demand import AnySelection
    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.views import FeatureView
    from headrace_features.engines import BackfillReport
    from headrace_schemas.settings import Settings

#: Of the files of one run so many are named.
_MOST_FILES = 1_000


def ingest_job(source: str) -> str:
    """What the ingest of a source is called."""
    return f"ingest.{source}"


def files_work(
    settings: Settings, sources: Iterable[EventSource], files: Iterable[str]
) -> list[Work]:
    """What an ingest of files is about to do."""
    reads = tuple(Told(file_place(file)) for file in list(files)[:_MOST_FILES])
    return [Work(ingest_job(one.name), reads, (_events(settings, one),)) for one in sources]


def topics_work(settings: Settings, sources: Iterable[EventSource]) -> list[Work]:
    """What an ingest of topics is about to do."""
    return [
        Work(ingest_job(one.name), (_topic(settings, one),), (_events(settings, one),))
        for one in sources
    ]


def files_outcome(
    settings: Settings, source: EventSource, work: Work, report: SourceReport
) -> Outcome:
    """What an ingest of files has done."""
    rejected = Told(file_place(report.quarantine_table_uri), rows=report.rejected_rows)
    return Outcome(
        work.reads,
        (
            replace(_events_now(settings, source), rows=report.ingested),
            *((rejected,) if report.rejected_rows else ()),
        ),
    )


def topic_outcome(settings: Settings, source: EventSource, report: TopicReport) -> Outcome:
    """What an ingest of a topic has done."""
    spans = {
        number: Span(report.first.get(number, before), before)
        for number, before in report.covered.items()
    }
    topic = replace(_topic(settings, source), offsets=spans, rows=report.rows)
    same = {
        column.name: [ColumnUse(column.name, Use.CHOSEN, "as it was sent")]
        for column in source.columns
    }
    events = replace(
        _events_now(settings, source), rows=report.ingested, made_of=MadeOf(topic.place, same)
    )
    rejected = Told(file_place(report.quarantine_table_uri), rows=report.rejected_rows)
    return Outcome((topic,), (events, *((rejected,) if report.rejected_rows else ())))


def backfill_work(settings: Settings, view: FeatureView) -> Work:
    """What a backfill is about to do."""
    events = _events(settings, view.source)
    table = _place(settings, features_table(view.name, view.version))
    written = told_of_view(view, table, events.place)
    return Work(f"backfill.{view.name}", (events,), (written,))


def backfill_outcome(settings: Settings, view: FeatureView, report: BackfillReport) -> Outcome:
    """What a backfill has done."""
    (written,) = backfill_work(settings, view).writes
    name = features_table(view.name, view.version)
    days: dict[str, str | int] = {
        "first_day": report.first.isoformat(),
        "last_day": report.last.isoformat(),
    }
    facts = {**days, "view_version": view.version}
    version = Warehouse.of(settings).open(name).version()
    return Outcome(
        (_events_now(settings, view.source),),
        (replace(written, rows=report.rows, version=version, facts=facts),),
    )


def layer_work(settings: Settings, view: FeatureView) -> Work:
    """What the making of a batch layer is about to do."""
    events = _events(settings, view.source)
    tiles = Told(_place(settings, tiles_table(view.name, view.version)))
    layer = told_of_view(view, store_place(settings, view_key(view)), events.place)
    return Work(f"materialize.{view.name}", (events,), (tiles, layer))


def layer_outcome(settings: Settings, view: FeatureView) -> Outcome:
    """What the batch layer that is published now was made of."""
    work = layer_work(settings, view)
    tiles, layer = work.writes
    generation = layers_of(open_store(settings), [view_key(view)])[view_key(view)].batch
    made = generation and layer_made(Warehouse.of(settings), view, generation)
    if generation is None or not made:
        return Outcome(work.reads, work.writes)
    facts = {
        "generation": generation.id,
        "boundary_ms": generation.boundary_ms,
        "whole_ms": generation.whole_ms,
    }
    (events,) = work.reads
    return Outcome(
        (events if made.events is None else _as_made(events, made.events),),
        (replace(tiles, version=made.tiles_version), replace(layer, facts=facts)),
    )


def history_work(
    settings: Settings, selections: Iterable[AnySelection], spine: str, out: str
) -> Work:
    """What it is to compute features as of each row of a spine."""
    sources = sources_of(selections)
    events = tuple(_events(settings, sources[name]) for name in sorted(sources))
    return Work("history", (Told(file_place(spine)), *events), (Told(file_place(out)),))


def history_outcome(
    settings: Settings, selections: Sequence[AnySelection], work: Work, rows: int
) -> Outcome:
    """What has been computed."""
    spine, *_ = work.reads
    sources = sources_of(selections)
    events = (_events_now(settings, sources[name]) for name in sorted(sources))
    (out,) = work.writes
    columns = {
        f"{chosen.view.name}{SEPARATOR}{name}": str(chosen.view.feature(name).type)
        for chosen in selections
        for name in chosen.names
    }
    return Outcome((spine, *events), (replace(out, columns=columns, rows=rows),))


def release_work(settings: Settings, source: EventSource) -> Work:
    """What the release of rows from a source's quarantine is about to do."""
    aside = Told(_place(settings, quarantine_table(source.name)))
    return Work(f"release.{source.name}", (aside,), (_events(settings, source),))


def release_outcome(settings: Settings, source: EventSource, rows: int) -> Outcome:
    """What a release of so many rows into the table has done."""
    reads = release_work(settings, source).reads
    return Outcome(reads, (replace(_events_now(settings, source), rows=rows),))


def gate_work(settings: Settings, of: str, table: str) -> Work:
    """What it is to hold a table of a source or a view to its gate."""
    return Work(f"validate.{of}", (Told(_place(settings, table)),))


def gate_outcome(settings: Settings, verdict: Verdict) -> Outcome:
    """What came of it."""
    version = Warehouse.of(settings).open(verdict.table).version()
    facts: dict[str, str | int] = {
        "day": verdict.day.isoformat(),
        "passes": str(verdict.passes).lower(),
        "broken": ", ".join(one.rule for one in verdict.broken),
        "accepted": verdict.accepted,
    }
    place = _place(settings, verdict.table)
    return Outcome((Told(place, version=version, rows=verdict.rows, facts=facts),))


def _place(settings: Settings, table: str) -> Place:
    return file_place(Warehouse.of(settings).uri(table))


def _topic(settings: Settings, source: EventSource) -> Told:
    return told_of_source(source, topic_place(settings, source.topic))


def _events(settings: Settings, source: EventSource) -> Told:
    """The table of a source's events."""
    return told_of_source(source, _place(settings, source.table))


def _events_now(settings: Settings, source: EventSource) -> Told:
    """The same, with the version that it has now."""
    told, made = _events(settings, source), events_made(Warehouse.of(settings), source)
    return told if made is None else _as_made(told, made)


def _as_made(told: Told, made: EventsMade) -> Told:
    return replace(told, version=made.version, offsets=spans_of(made))


def spans_of(made: EventsMade) -> dict[int, Span]:
    """By partition the records of its topic that a table of events has; all before, if not from."""
    return {
        number: Span(made.first.get(number, 0), before) for number, before in made.before.items()
    }
