"""What gates say of days: held to their rules, kept, and asked for before a publication."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.lineage import gate_outcome, gate_work
from headrace_batch.quality.baselines import baselines
from headrace_batch.quality.checkpoint import judge, shown
from headrace_batch.quality.measures import Day, Measure, TableDays, bounds, measure, spelled
from headrace_batch.quality.same_rows import as_now
from headrace_batch.quality.tables import gated_table, replace_rows
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.gates import Drift
from headrace_features.definitions.sources import EventSource
from headrace_features.lineage.recording import recorded
from headrace_schemas.errors import ConfigurationError, GateError
from headrace_schemas.tables import FEATURES, TRAINING, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from headrace_features.definitions.gates import Gate
    from headrace_schemas.settings import Settings

_MADE_OF_EVENTS = frozenset({FEATURES, TRAINING})
_RULES = pa.struct(
    [
        ("rule", pa.string()),
        ("value", pa.float64()),
        ("least", pa.float64()),
        ("most", pa.float64()),
        ("unit", pa.string()),
        ("told", pa.string()),
        ("kept", pa.bool_()),
    ]
)
_SCHEMA = pa.schema(
    [
        ("target", pa.string()),
        ("table", pa.string()),
        ("day", pa.date32()),
        ("rows", pa.int64()),
        ("content", pa.string()),
        ("declared", pa.string()),
        ("rules", pa.list_(_RULES)),
        ("accepted", pa.string()),
        ("judged_at", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says of a day of its table.

    Attributes:
        of: the source or the view.
        table: its table.
        day: in UTC.
        rows: how many the day had.
        content: tells them from others.
        declared: tells the rules, with their baselines, from others.
        measures: what was measured, a rule each.
        kept: by measure, whether it was as it has to be.
        accepted: why a person lets the day pass although it wasn't; "" where nobody has.
        judged_ms: when that was, ms UTC.
        docs: the page of Great Expectations that shows it; None where nobody has asked for it.
    """

    of: str
    table: str
    day: date
    rows: int
    content: str
    declared: str
    measures: tuple[Measure, ...]
    kept: tuple[bool, ...]
    accepted: str
    judged_ms: int
    docs: Path | None

    @property
    def broken(self) -> tuple[Measure, ...]:
        """What was not as it has to be."""
        return tuple(one for one, kept in zip(self.measures, self.kept, strict=True) if not kept)

    @property
    def rules(self) -> list[dict[str, Any]]:
        """Each measure by the names of its fields, and whether it was kept."""
        pairs = zip(self.measures, self.kept, strict=True)
        return [{**asdict(one), "kept": kept} for one, kept in pairs]

    @property
    def passes(self) -> bool:
        """Whether anything may be published from the day."""
        return bool(self.accepted) or not self.broken

    def failure(self) -> GateError | None:
        """The error to end with, where the day doesn't pass."""
        if self.passes:
            return None
        told = "; ".join(
            f"{one.rule} is {spelled(one.value)} {one.unit}, expected {bounds(one)} ({one.told})"
            for one in self.broken
        )
        accepting = f"let it pass: headrace validate {self.of} --date {self.day} --accept REASON"
        if not self.rows:
            return GateError(
                f"no rows of {self.day} have come into {self.table}, which fails its gate: {told}",
                hint=f"bring them in and run it again, or {accepting}",
            )
        # Rows of features come from events: they are mended there.
        out = (
            f" (wrong rows go first: headrace quarantine day {self.of} --date {self.day})"
            if self.table.partition(".")[0] not in _MADE_OF_EVENTS
            else ""
        )
        return GateError(
            f"{self.table} of {self.day} fails its gate: {told}",
            hint=f"mend the data{out} and run it again, or {accepting}",
        )


def validate(settings: Settings, gate: Gate, day: date, now_ms: int, accepted: str = "") -> Verdict:
    """Hold a day of a gate's table to its rules, and keep what comes of it.

    Args:
        settings: where the lake is, and the home, in which Data Docs are built.
        gate: the rules.
        day: in UTC.
        now_ms: when that is, ms UTC.
        accepted: why the day passes whatever comes of it; it holds as long as its rows and the
            rules stay the same.

    Raises:
        ConfigurationError: there is no table or no baseline, or it can't be read.
    """
    return _validated(_Gated(settings, gate), day, now_ms, accepted)


class _Gated:
    """The table of a gate as it is now, or was, and what was said of its days."""

    def __init__(self, settings: Settings, gate: Gate, version: int | None = None) -> None:
        self.settings = settings
        self.gate = gate
        self.warehouse = Warehouse.of(settings)
        self.name = gated_table(gate)
        self.days = _days_of(settings, self.name, version)
        self.declared = _declared(self.warehouse, gate)
        with self.warehouse.explaining(self.name):
            self.kept = as_now(self.days, _said(self.warehouse, self.name))

    def said(self, found: Day) -> Verdict | None:
        """What was said of a day, if that was on the rules that there are, and the rows."""
        one = self.kept.get(found.day)
        if one is None or (one.content, one.declared) != (found.content, self.declared):
            return None
        return one

    def open_days(self, last: date) -> set[date]:
        """The days up to one that are to be judged, or have failed, whatever was made of them.

        Those are days whose rows are others than when they were judged, or have all been taken out
        since, and days that nobody has judged; but of these none before the first that somebody
        has: where gates are new, they hold from then on.
        """
        if not self.kept:
            return set()
        failed = {day for day, one in self.kept.items() if not one.passes and day <= last}
        first = min(self.kept)
        contents = {day: one.content for day, one in self.kept.items()}
        return failed | {
            day
            for day in self.days.rows.keys() | contents.keys()
            if first <= day <= last and contents.get(day) != self.days.content(day)
        }


def _validated(gated: _Gated, day: date, now_ms: int, accepted: str = "") -> Verdict:
    work = gate_work(gated.settings, gated.gate.name, gated.name)
    with recorded(gated.settings, [work]) as runs:
        verdict = _validate(gated, day, now_ms, accepted)
        runs.end(work.job, lambda: gate_outcome(gated.settings, verdict))
    return verdict


def _validate(gated: _Gated, day: date, now_ms: int, accepted: str) -> Verdict:
    found = gated.days.day(day)
    before = gated.said(found)
    measures = tuple(measure(gated.warehouse, gated.gate, gated.days.table, found))
    # What a person has said of these rows and rules holds when they are judged again.
    accepted = accepted or ("" if before is None else before.accepted)
    folder = gated.settings.home / "quality"
    docs = shown(folder, gated.name, day, measures, accepted)
    if docs and before and (before.measures, before.accepted) == (measures, accepted):
        # Of the same measures the same is said: what says it takes seconds to import.
        return replace(before, docs=docs)
    judged = judge(folder, gated.name, day, measures, accepted, now_ms)
    verdict = Verdict(
        of=gated.gate.name,
        table=gated.name,
        day=day,
        rows=found.rows,
        content=found.content,
        declared=gated.declared,
        measures=measures,
        kept=judged.kept,
        accepted=accepted,
        judged_ms=now_ms,
        docs=judged.docs,
    )

    def held(said: Mapping[date, Verdict]) -> list[Verdict]:
        return [_accepted(verdict, as_now(gated.days, said).get(day))]

    (kept,) = _keep(gated.warehouse, gated.name, held)
    return kept


def _accepted(verdict: Verdict, said: Verdict | None) -> Verdict:
    """The verdict, with what a person has said of the same rows while they were judged."""
    told = (verdict.content, verdict.declared)
    if verdict.accepted or said is None or (said.content, said.declared) != told:
        return verdict
    return replace(verdict, accepted=said.accepted)


def _days_of(settings: Settings, table: str, version: int | None) -> TableDays:
    versions = {} if version is None else {table: version}
    return TableDays.of(replace(Warehouse.of(settings), versions=versions).open(table))


def newest_day(settings: Settings, gate: Gate, version: int | None = None) -> date:
    """The newest day of a gate's table, or of a version of it, that has any rows.

    Raises:
        ConfigurationError: there is no table, or it is empty.
    """
    name = gated_table(gate)
    days = _days_of(settings, name, version).rows
    if not days:
        raise ConfigurationError(f"{name} has no rows", hint="fill it first")
    return max(days)


def require_passing(  # noqa: PLR0913, PLR0917 - each of another kind
    settings: Settings,
    gate: Gate,
    came: AbstractSet[date],
    last: date,
    now_ms: int,
    version: int | None = None,
) -> None:
    """Have days pass their gate before something is published from them, up to a last one.

    They are held to it as they are now, or as they are in the version that is read.

    Those are days that have come, and those that are open. A day of which nothing is known, or
    which has other rows than when it was judged, is judged now. Days without rows come first:
    others may fail for want of them. Of features only days are held to theirs that were computed.

    Raises:
        GateError: one doesn't pass.
        ConfigurationError: there is no table or no baseline, or it can't be read.
    """
    gated = _Gated(settings, gate, version)
    days = came | gated.open_days(last)
    if not isinstance(gate.of, EventSource):
        days &= gated.days.rows.keys()
    for day in sorted(days, key=lambda one: (gated.days.rows.get(one, 0) > 0, one)):
        _require(gated, day, now_ms)


def require_day(
    settings: Settings, gate: Gate, day: date, now_ms: int, version: int | None = None
) -> None:
    """Have one day pass its gate, as `require_passing` does."""
    _require(_Gated(settings, gate, version), day, now_ms)


def _require(gated: _Gated, day: date, now_ms: int) -> None:
    failure = (gated.said(gated.days.day(day)) or _validated(gated, day, now_ms)).failure()
    if failure is not None:
        raise failure


def carry_over(warehouse: Warehouse, table: str) -> None:
    """Note of which files days are by now whose rows have come into others.

    What was said of them holds without that as well, but only as long as the log tells.

    Args:
        warehouse: where the tables are.
        table: the name of one, whether any gate is before it or not.
    """
    if not _said(warehouse, table):
        return
    days = TableDays.of(warehouse.open(table))

    def moved(said: Mapping[date, Verdict]) -> list[Verdict]:
        now = as_now(days, said)
        return [one for day, one in now.items() if one is not said[day]]

    with warehouse.explaining(table):
        if moved(_said(warehouse, table)):
            _keep(warehouse, table, moved)


def _declared(warehouse: Warehouse, gate: Gate) -> str:
    """The rules, with the baselines that they compare with."""
    names = {rule.baseline for rule in gate.rules if isinstance(rule, Drift)}
    compared = [
        one
        for one in (baselines(warehouse) if names else [])
        if one.of == gate.name and one.name in names
    ]
    return hashlib.sha256(repr((gate.rules, compared)).encode()).hexdigest()


def _keep(
    warehouse: Warehouse, table: str, verdicts_of: Callable[[Mapping[date, Verdict]], list[Verdict]]
) -> list[Verdict]:
    """Keep what is said of days of a table, which may depend on what was said of them before."""
    kept: list[Verdict] = []

    def rows_of(now: Warehouse) -> pa.Table:
        said = _said(now, table)
        kept[:] = verdicts_of(said)
        all_days = said | {one.day: one for one in kept}
        rows = [
            {
                "target": one.of,
                "table": one.table,
                "day": one.day,
                "rows": one.rows,
                "content": one.content,
                "declared": one.declared,
                "rules": one.rules,
                "accepted": one.accepted,
                "judged_at": one.judged_ms,
            }
            for one in all_days.values()
        ]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    replace_rows(warehouse, VERDICTS, _SCHEMA, f"\"table\" = '{table}'", rows_of)
    return kept


def _said(warehouse: Warehouse, table: str) -> dict[date, Verdict]:
    """What was said last of the days of a table, by day."""
    return {one.day: one for one in kept_verdicts(warehouse, table)}


def kept_verdicts(warehouse: Warehouse, table: str) -> list[Verdict]:
    """What was said last of each day of a table."""
    if not warehouse.exists(VERDICTS):
        return []
    ours = pc.field("table") == table
    return [
        Verdict(
            of=row["target"],
            table=row["table"],
            day=row["day"],
            rows=row["rows"],
            content=row["content"],
            declared=row["declared"],
            measures=tuple(_measure(one) for one in row["rules"]),
            kept=tuple(one["kept"] for one in row["rules"]),
            accepted=row["accepted"],
            judged_ms=row["judged_at"],
            docs=None,
        )
        for row in warehouse.read(VERDICTS, where=ours).to_pylist()
    ]


def _measure(row: dict[str, object]) -> Measure:
    return Measure(**{name: value for name, value in row.items() if name != "kept"})  # type: ignore[arg-type] # as it was written
