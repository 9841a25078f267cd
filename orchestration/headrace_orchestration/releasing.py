"""Rows of a quarantine go back the way they came: to their topic, or into their table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace_batch.lineage import release_outcome, release_work
from headrace_batch.quarantine.judging import Judged, RowJudge
from headrace_batch.quarantine.kept_rows import KeptRow, RowState
from headrace_batch.quarantine.releasing import Disposition, note, take_in
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.row_rules import TimelyRule
from headrace_features.lineage.recording import recorded
from headrace_features.senders import Ready, load_sender
from headrace_schemas.errors import BadRecordError

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


#: What is the matter with rows that have one key.
SAME_KEY = "same_key"


class Rows(NamedTuple):
    """Some rows of the quarantine of a source."""

    source: EventSource
    kept: Sequence[KeptRow]


@dataclass(frozen=True, slots=True)
class Released:
    """What became of rows that were to be released.

    Attributes:
        sent: rows that were sent to their topic again.
        taken_in: rows whose events are in the table now.
        duplicates: rows whose keys the table had by then, or that are the same event as another.
        left: rows that are no events yet, by what is the matter first.
    """

    source: str
    sent: int
    taken_in: int
    duplicates: int
    left: Mapping[str, int]


def release(
    settings: Settings,
    project: Project,
    rows: Rows,
    now_ms: int,
    ignore: Collection[str] = (),
) -> Released:
    """Release those rows that are events by now, each once.

    A record of a topic is sent to it again, where the stream and the next ingest take it in as a
    late event. What would be refused there, as it breaks a rule that is ignored or comes too late
    for one, comes into the table at once, as do rows of files; the stream doesn't have these.

    Args:
        settings: where the lake and Kafka are.
        project: declares the source.
        rows: which.
        now_ms: ms UTC.
        ignore: names of rules that they may break.

    Raises:
        RetryableError: the broker or the lake can't be reached. What was released stays so.
    """
    source, warehouse = rows.source, Warehouse.of(settings)
    judge = RowJudge(warehouse, source, project.sources)
    judged = _with_one_event_of_each_key(judge.judge(rows.kept, now_ms, ignore), source)
    ready = [one for one in judged if not one.problems]
    by_topic = [one for one in ready if one.goes_by_topic]
    sent = {one.value: Ready(one.event, one.value) for one in by_topic}
    if sent:
        sender = load_sender(settings, project)
        sender.send(source, list(sent.values()))
        note(warehouse, source, map(_released, by_topic), now_ms)
    taken_in, duplicates = 0, len(by_topic) - len(sent)
    others = [one for one in ready if not one.goes_by_topic]
    if others:
        work = release_work(settings, source)
        with recorded(settings, [work]) as runs:
            report = take_in(warehouse, source, judge, others)
            runs.end(work.job, lambda: release_outcome(settings, source, report.ingested))
        taken_in, duplicates = report.ingested, duplicates + report.duplicates
        note(warehouse, source, map(_released, others), now_ms)
    left = Counter(next(iter(one.problems)) for one in judged if one.problems)
    return Released(source.name, len(sent), taken_in, duplicates, dict(left))


@dataclass(frozen=True, slots=True)
class Left:
    """Rows that stay as they were for one reason.

    Attributes:
        rows: how many.
        example: the id of one.
        told: all that is the matter with that one.
    """

    rows: int
    example: str
    told: str


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of rows that were to be repaired.

    Attributes:
        repaired: rows whose changed events are kept.
        left: rows that would still be no events, by what is the matter first.
    """

    source: str
    repaired: int
    left: Mapping[str, Left]


def repair(
    settings: Settings,
    project: Project,
    rows: Rows,
    now_ms: int,
    change: Callable[[KeptRow], Mapping[str, Any] | None],
) -> Repaired:
    """Keep what rows are changed to, of those that are events then which break no rule.

    Args:
        settings: where the lake is.
        project: declares the source.
        rows: which.
        now_ms: ms UTC.
        change: gives a row's columns as they are to be, None of one that is to stay unread, or
            raises BadRecordError.

    Raises:
        RetryableError: the lake can't be reached, or others kept committing.
    """
    source, warehouse = rows.source, Warehouse.of(settings)
    # Nothing can mend when a row arrived.
    timely = [rule.name for rule in source.rules if isinstance(rule, TimelyRule)]
    changed: list[KeptRow] = []
    bad: list[Judged] = []
    for row in rows.kept:
        try:
            changed.append(replace(row, event=change(row)))
        except BadRecordError as error:
            bad.append(Judged(row, None, b"", {str(error.reason): error.message}))
    judged = RowJudge(warehouse, source, project.sources).judge(changed, now_ms, timely)
    before = {row.id: row for row in rows.kept}
    bad += [_by_its_reasons(one, before[one.row.id], source) for one in judged if one.problems]
    good = [one.row for one in judged if not one.problems]
    done = (Disposition(row.id, RowState.REPAIRED, row.event or {}) for row in good)
    note(warehouse, source, done, now_ms)
    return Repaired(source.name, len(good), _left(bad))


def _by_its_reasons(judged: Judged, before: KeptRow, source: EventSource) -> Judged:
    """A row that is no event, by the reasons that it is kept with if nothing is changed about it.

    What could not be read of it is null by now, of which its contract would tell another reason.
    """
    was, now = before.event or {}, judged.row.event or {}
    changed = any(was.get(one.name) != now.get(one.name) for one in source.columns)
    if changed or judged.problems.keys() & set(before.reasons):
        return judged
    return replace(
        judged, problems=dict.fromkeys(before.reasons, "nothing is changed about what it came with")
    )


def _left(bad: Iterable[Judged]) -> dict[str, Left]:
    found: dict[str, Left] = {}
    for one in bad:
        code = next(iter(one.problems))
        told = "; ".join(dict.fromkeys(one.problems.values()))
        before = found.get(code, Left(0, one.row.id, told))
        found[code] = replace(before, rows=before.rows + 1)
    return found


def _with_one_event_of_each_key(judged: Sequence[Judged], source: EventSource) -> list[Judged]:
    """The rows, of which other events of one key can't be taken in: nobody knows which is right.

    Rows that are the same event are one, as those of a day that was set aside twice.
    """
    events: dict[str, set[bytes]] = {}
    for one in judged:
        if not one.problems:
            events.setdefault(getattr(one.event, source.dedup_key), set()).add(one.value)
    return [
        one
        if one.problems or len(events[getattr(one.event, source.dedup_key)]) == 1
        else replace(one, problems={SAME_KEY: "another row has its key: choose one by --row"})
        for one in judged
    ]


def _released(one: Judged) -> Disposition:
    told = f"in spite of {', '.join(one.ignored)}" if one.ignored else ""
    return Disposition(one.row.id, RowState.RELEASED, one.row.event or {}, told)
