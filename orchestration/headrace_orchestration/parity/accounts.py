"""The accounts of a run: every record was read once, and has one decision, entry or dead letter.

`decisions` is written exactly once, so a record has one decision. `late-events` and `dead-letters`
are written at least once: an entry there may be of an attempt that was taken back, so a decision
outweighs it, and several entries count as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_features.expressions.rows import evaluate
from headrace_orchestration.parity.columns import same
from headrace_orchestration.parity.findings import Fault, Finding
from headrace_orchestration.parity.recording import places_of, spelled_place
from headrace_schemas.errors import BadRecordError

if TYPE_CHECKING:
    from headrace_features.definitions.decisions import Decisions
    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.views import FeatureView
    from headrace_features.kernel.arrays import Bools, Ints
    from headrace_orchestration.parity.recording import DecisionLog, Recording, SourceLog


@dataclass(frozen=True)
class Accounts:
    """What became of the records of a decided source.

    Attributes:
        log: the decisions, of each record one.
        record: for each decision the position of its event in the source's log.
        undecided: the positions of the events that should have a decision and have none.
        before: the positions of those that a former run has decided: its numbers tell nothing of
            the states of this one.
        waiting: how many events wait for the watermark; their turn is yet to come.
        duplicates: how many events were left out as duplicates.
        findings: what is wrong.
    """

    log: pa.Table
    record: Ints
    undecided: Ints
    before: Ints
    waiting: int
    duplicates: int
    findings: tuple[Finding, ...]


def accounts_of(recording: Recording, log: DecisionLog) -> Accounts:
    """The accounts of one declaration's decisions."""
    decisions = log.decisions
    source = recording.sources[decisions.source.name]
    findings: list[Finding] = []
    record = source.find(places_of(log.table))
    keep = np.zeros(len(record), np.bool_)
    _, firsts = np.unique(places_of(log.table), return_index=True)
    keep[firsts] = True
    for row in np.flatnonzero(~keep).tolist():
        told = f"record {_spelled(log.table, row)} is decided more than once"
        findings.append(Finding(Fault.DOUBLED, decisions.name, _id(log.table, row), told))
    true = (record >= 0) & _as_recorded(log, source, record)
    for row in np.flatnonzero(keep & ~true).tolist():
        found = "is no good record" if record[row] < 0 else "is another event"
        told = f"record {_spelled(log.table, row)} of {source.source.topic} {found}"
        findings.append(Finding(Fault.FORGED, decisions.name, _id(log.table, row), told))
    keep &= true
    decided = record[keep]
    left = np.ones(len(source.place), np.bool_)
    left[decided] = False
    join_key = decisions.views[0].entity.join_key
    duplicates = left & taken_as_duplicates(recording, decisions, source, join_key)
    left &= ~duplicates
    left[dead_events(recording, source)] = False
    known = source.find(recording.decided_before.get(decisions.name, np.empty(0, np.int64)))
    before = np.setdiff1d(known[known >= 0], decided)
    left[before] = False
    undecided = np.flatnonzero(left)
    waits = np.zeros(len(undecided), np.bool_)
    if recording.ordered:
        newest_ms = source.available_ms[decided].max(initial=np.iinfo(np.int64).min)
        waits = source.available_ms[undecided] > newest_ms
    undecided, waiting = undecided[~waits], int(waits.sum())
    for position in undecided.tolist():
        told = f"record {spelled_place(source.place[position])} of {source.source.topic}"
        event = source.ids[position].as_py()
        findings.append(Finding(Fault.MISSING, decisions.name, event, told))
    table = log.table.filter(pa.array(keep))
    return Accounts(
        table, decided, undecided, before, waiting, int(duplicates.sum()), tuple(findings)
    )


def taken_as_duplicates(
    recording: Recording, decisions: Decisions, source: SourceLog, join_key: str
) -> Bools:
    """Which events of a source a stage has left out as duplicates, by the ledger."""
    entries = recording.ledgered(
        source.source.name, decisions.name, ["duplicate"], join_key=join_key
    )
    left_out = np.zeros(len(source.place), np.bool_)
    found = source.find(places_of(entries))
    left_out[found[found >= 0]] = True
    return left_out


def dead_events(recording: Recording, source: SourceLog) -> Ints:
    """The events that keep to the contract and are dead letters all the same."""
    found = np.unique(source.find(recording.dead_places(source.source.topic)))
    return found[found >= 0]


def faults_of_duplicates(
    where: str, source: SourceLog, left_out: Bools, entity: pa.ChunkedArray
) -> Iterator[Finding]:
    """Events that were left out as duplicates though none of their key and entity was taken."""
    if not left_out.any():
        return
    named = pc.binary_join_element_wise(
        source.ids.cast(pa.string()), entity.cast(pa.string()), "\0"
    )
    taken = named.filter(pa.array(~left_out))
    alone = ~pc.is_in(named, taken.combine_chunks()).to_numpy() & left_out
    for position in np.flatnonzero(alone).tolist():
        told = f"record {spelled_place(source.place[position])} of {source.source.topic}"
        yield Finding(Fault.LOST, where, source.ids[position].as_py(), told)


def faults_of_dead_letters(recording: Recording, source: SourceLog) -> Iterator[Finding]:
    """Bad records that are no dead letters, and good ones that are."""
    topic = source.source.topic
    dead = set(recording.dead_places(topic).tolist())
    for place in sorted(source.bad.keys() - dead):
        told = f"it is refused as {source.bad[place]}"
        where = f"{topic}/{spelled_place(place)}"
        yield Finding(Fault.NO_DEAD_LETTER, source.source.name, where, told)
    for position in dead_events(recording, source).tolist():
        event = source.events.slice(position, 1).to_pylist()[0]
        views = [view for log in recording.decisions.values() for view in log.decisions.views]
        if not _fails(views, source.source, event):
            told = (
                f"record {spelled_place(source.place[position])} of {topic} keeps to the contract"
            )
            key = str(event[source.source.dedup_key])
            yield Finding(Fault.GOOD_DEAD_LETTER, source.source.name, key, told)


def stopped(
    recording: Recording, decisions: Decisions, view: FeatureView, source: SourceLog
) -> Ints:
    """The dead letters among the events of a source that have not come as far as a view.

    A decided event goes from stage to stage, and ends where a view's expressions fail for it; one
    that is only a fact goes to each stage by itself.
    """
    stages = list(dict.fromkeys(one.entity.join_key for one in decisions.views))
    own = source.source.name == decisions.source.name
    last = stages.index(view.entity.join_key)
    until = stages[: last + 1] if own else [view.entity.join_key]
    views = [one for one in decisions.views if one.entity.join_key in until]
    return np.array(
        [
            position
            for position in dead_events(recording, source).tolist()
            if _fails(views, source.source, source.events.slice(position, 1).to_pylist()[0])
        ],
        np.int64,
    )


def _fails(views: Iterable[FeatureView], source: EventSource, event: dict[str, Any]) -> bool:
    """Whether the expressions of one of some views can't be evaluated for an event."""
    for view in views:
        if view.source.name != source.name:
            continue
        try:
            full = dict(event)
            for name, expression in view.derived_expressions.items():
                full[name] = evaluate(expression.node, event)
            if view.filter_expression is not None:
                evaluate(view.filter_expression.node, full)
        except BadRecordError:
            return True
    return False


def _as_recorded(log: DecisionLog, source: SourceLog, record: Ints) -> Bools:
    """Which decisions repeat the event of their record as it is."""
    kept = np.flatnonzero(record >= 0)
    true = np.ones(len(kept), np.bool_)
    there = source.events.take(pa.array(record[kept]))
    told = log.table.take(pa.array(kept))
    for name in source.events.column_names:
        true &= same(told[f"event.{name}"], there[name])
    true &= same(told["id"], there[source.source.dedup_key])
    result = np.zeros(len(record), np.bool_)
    result[kept] = true
    return result


def _id(table: pa.Table, row: int) -> str:
    return str(table["id"][row].as_py())


def _spelled(table: pa.Table, row: int) -> str:
    return f"{table['partition'][row].as_py()}/{table['offset'][row].as_py()}"
