"""The spine of a declared training set: the labelled events of its days, as of a day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from time import time_ns
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.days import begins_ms, ends_of
from headrace_batch.event_files import EventFiles
from headrace_batch.history_spine import EVENT_TIME
from headrace_batch.quality.verdicts import require_passing
from headrace_batch.staging.spine import KNOWN_BEFORE, UNLABELLED
from headrace_batch.staging.told import rows_outcome, spine_work
from headrace_batch.staging.whole_tables import replace_table, told_left_out, told_made_of
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.durations import DAY_MS
from headrace_features.definitions.training_sets import LABEL_KNOWN_AT
from headrace_features.kernel.prepare import ARROW_TYPES
from headrace_features.lineage.recording import recorded
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.tables import EVENT_DATE, spine_table

if TYPE_CHECKING:
    from deltalake import Transaction

    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.training_sets import TrainingSet
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class SpineReport:
    """A spine that was written.

    Attributes:
        table: its name.
        first, last: the days of its events.
        rows: events that are labelled.
        unlabelled: events that are not, or of which a label is null; they are left out.
        known_before: events of which a label is said to have been known before they were, which
            can't be; they are left out as well.
    """

    table: str
    first: date
    last: date
    rows: int
    unlabelled: int
    known_before: int


def write_spine(
    settings: Settings, project: Project, declared: TrainingSet, day: date
) -> SpineReport:
    """Write the rows of a training set as of the end of a day, in place of those of another.

    Labels are those that are known by then; those of all days are held in memory, the events are
    read day by day.

    Raises:
        RetryableError: the events or labels of the last day haven't come, or another process writes
            the spine.
        GateError: a day of what the set is made of doesn't pass.
        ConfigurationError: there is no table of events, or nothing is labelled.
    """
    first, last = declared.days_at(day)
    sources = tuple(dict.fromkeys((declared.events, declared.labelling)))
    warehouse = Warehouse.of(settings)
    # What comes meanwhile is in none of them.
    warehouse = replace(warehouse, versions=warehouse.versions_now(one.table for one in sources))
    for source in sources:
        _require_come(warehouse, source, last)
    _require_known(warehouse, declared.labelling, first, day)
    for name, source in declared.sources.items():
        if name in project.gates:
            gate, came = project.gates[name], {last} if source in sources else set()
            version = warehouse.versions.get(source.table)
            require_passing(settings, gate, came, day, time_ns() // 1_000_000, version)
    rows = _Rows(warehouse, declared, first, last, begins_ms(day) + DAY_MS)
    table, work = spine_table(declared.name), spine_work(settings, declared)
    with recorded(settings, [work]) as runs:
        told = chain(told_made_of(warehouse.versions), rows.told_left_out())
        count = replace_table(settings, table, day, rows.schema, rows.batches(), told)
        versions = {warehouse.uri(name): number for name, number in warehouse.versions.items()}
        runs.end(work.job, lambda: rows_outcome(work, count, versions))
    if not rows.labelled:
        raise ConfigurationError(
            f"none of {rows.left_out:,} events of {declared.events.name} from {first} to {last}"
            f" has a label that was known by the end of {day}",
            hint=f"take in those of {declared.labelling.name}: headrace ingest",
        )
    return SpineReport(table, first, last, rows.labelled, rows.unlabelled, rows.known_before)


def _require_come(warehouse: Warehouse, source: EventSource, last: date) -> None:
    ends = ends_of(warehouse.open(source.table))
    if ends is None or ends[1] < last:
        has = "none" if ends is None else f"those up to {ends[1]}"
        raise RetryableError(
            f"the events of {source.name} of {last} have not come: its table has {has}",
            hint=f"headrace ingest --date {last} --source {source.name}",
        )


def _require_known(warehouse: Warehouse, source: EventSource, first: date, day: date) -> None:
    """See that labels have come that became known on a day: those before it have then as well."""
    if source.available_at is None:
        return
    newest = EventFiles(warehouse, source).greatest(source.available_at)
    if newest is None:
        # The log doesn't tell it of every file.
        known = warehouse.read(
            source.table, [source.available_at], pc.field(EVENT_DATE) >= pa.scalar(first)
        )
        newest = pc.max(known[source.available_at]).as_py()
    if newest is None or newest < begins_ms(day):
        raise RetryableError(
            f"no event of {source.name} has come that became known on {day} or later",
            hint=f"headrace ingest --date {day} --source {source.name}",
        )


class _Rows:
    """The labelled events of some days, read once; afterwards how many there were."""

    def __init__(
        self, warehouse: Warehouse, declared: TrainingSet, first: date, last: date, known_ms: int
    ) -> None:
        self.labelled = self.unlabelled = self.known_before = 0
        self._declared, self._days, self._known_ms = declared, (first, last), known_ms
        self._warehouse = warehouse
        kept = {name: ARROW_TYPES[kind] for name, kind in declared.kept.items()}
        labels = {
            name: ARROW_TYPES[declared.labelling.column(name).type] for name in declared.label
        }
        self.schema = pa.schema(
            {EVENT_TIME: pa.int64(), **kept, **labels, LABEL_KNOWN_AT: pa.int64()}
            | {EVENT_DATE: pa.date32()}
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows day by day, in the order of their time."""
        labels = self._labels()
        source = self._declared.events
        first, last = self._days
        for number in range(first.toordinal(), last.toordinal() + 1):
            day = date.fromordinal(number)
            names = dict.fromkeys([source.event_time, *self._declared.kept])
            events = self._warehouse.read(
                source.table, list(names), pc.field(EVENT_DATE) == pa.scalar(day)
            )
            places = pc.index_in(events[source.dedup_key], labels[self._label_key])
            has_label = places.is_valid()
            found = labels.take(places.filter(has_label))
            mine = events.filter(has_label)
            self.unlabelled += len(events) - len(mine)
            in_time = pc.less_equal(mine[source.event_time], found[LABEL_KNOWN_AT])
            self.known_before += len(mine) - pc.sum(in_time, min_count=0).as_py()
            mine, found = mine.filter(in_time), found.filter(in_time)
            self.labelled += len(mine)
            columns: Mapping[str, pa.ChunkedArray | pa.Array] = {
                EVENT_TIME: mine[source.event_time],
                **{name: mine[name] for name in self._declared.kept},
                **{name: found[name] for name in self._declared.label},
                LABEL_KNOWN_AT: found[LABEL_KNOWN_AT],
                EVENT_DATE: pa.array(np.full(len(mine), np.datetime64(day)), pa.date32()),
            }
            # A row's number follows from its place: it has to be the same whenever it is read.
            keys = [mine[source.dedup_key].to_numpy(), mine[source.event_time].to_numpy()]
            order = pa.array(np.lexsort(keys))
            yield from pa.table(columns, self.schema).take(order).to_batches()

    @property
    def left_out(self) -> int:
        """Events that are no rows."""
        return self.unlabelled + self.known_before

    def told_left_out(self) -> Iterator[Transaction]:
        """The same for the commit of the rows, as soon as all were read."""
        counts = {UNLABELLED: self.unlabelled, KNOWN_BEFORE: self.known_before}
        yield from told_left_out(counts)

    @property
    def _label_key(self) -> str:
        return self._declared.labelling.dedup_key

    def _labels(self) -> pa.Table:
        """The labels that are known, by the key of what they are of."""
        source = self._declared.labelling
        known = source.available_at or source.event_time
        names = dict.fromkeys([self._label_key, *self._declared.label, known])
        table = self._warehouse.read(
            source.table,
            list(names),
            # No label is of an earlier day than its event.
            (pc.field(EVENT_DATE) >= pa.scalar(self._days[0]))
            & (pc.field(known) < pa.scalar(self._known_ms)),
        )
        for name in self._declared.label:
            table = table.filter(table[name].is_valid())
        return table.append_column(LABEL_KNOWN_AT, table[known]).combine_chunks()
