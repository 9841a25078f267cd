"""What gates say of days: held to their rules, kept, and asked for before a publication."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.lineage import gate_outcome, gate_work
from headrace_batch.quality.baselines import baselines
from headrace_batch.quality.checkpoint import judge
from headrace_batch.quality.measures import Day, Measure, day_in, measure
from headrace_batch.quality.tables import gated_table, replace_rows
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.gates import Drift
from headrace_features.lineage.recording import recorded
from headrace_schemas.errors import ConfigurationError, GateError
from headrace_schemas.tables import VERDICTS

if TYPE_CHECKING:
    from pathlib import Path

    from headrace_features.definitions.gates import Gate
    from headrace_schemas.settings import Settings

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
        docs: the page of Great Expectations that shows it; None of a verdict that was kept.
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
    docs: Path | None

    @property
    def broken(self) -> tuple[Measure, ...]:
        """What was not as it has to be."""
        return tuple(one for one, kept in zip(self.measures, self.kept, strict=True) if not kept)

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
        return GateError(
            f"{self.table} of {self.day} fails its gate: {told}",
            hint=f"mend the data and run it again, or let it pass: headrace validate {self.of}"
            f" --date {self.day} --accept REASON",
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
    work = gate_work(settings, gate.name, gated_table(gate))
    with recorded(settings, [work]) as runs:
        verdict = _validate(settings, gate, day, now_ms, accepted)
        runs.end(work.job, lambda: gate_outcome(settings, verdict))
    return verdict


def _validate(settings: Settings, gate: Gate, day: date, now_ms: int, accepted: str) -> Verdict:
    warehouse = Warehouse.of(settings)
    name = gated_table(gate)
    found = day_in(warehouse.open(name), day)
    declared = _declared(warehouse, gate)
    known = [
        one for one in _kept(warehouse, gate) if one.day == day and _is_of(one, declared, found)
    ]
    measures = measure(warehouse, gate, found)
    judged = judge(settings.home / "quality", name, day, measures)
    verdict = Verdict(
        of=gate.name,
        table=name,
        day=day,
        rows=found.rows,
        content=found.content,
        declared=declared,
        measures=tuple(measures),
        kept=judged.kept,
        # What a person has said of these rows and rules holds when they are judged again.
        accepted=accepted or "".join(one.accepted for one in known),
        docs=judged.docs,
    )
    _keep(warehouse, verdict, now_ms)
    return verdict


def newest_day(settings: Settings, gate: Gate) -> date:
    """The newest day of a gate's table that has any rows.

    Raises:
        ConfigurationError: there is no table, or it is empty.
    """
    name = gated_table(gate)
    days = day_in(Warehouse.of(settings).open(name), date.min).of_days
    if not days:
        raise ConfigurationError(f"{name} has no rows", hint="fill it first")
    return max(days)


def require_passing(settings: Settings, gate: Gate, days: Sequence[date], now_ms: int) -> None:
    """Have days pass their gate before something is published from them.

    A day of which nothing is known, or which has other rows than when it was judged, is judged now.

    Raises:
        GateError: one doesn't pass.
        ConfigurationError: there is no table or no baseline, or it can't be read.
    """
    if not days:
        return
    warehouse = Warehouse.of(settings)
    table, declared = warehouse.open(gated_table(gate)), _declared(warehouse, gate)
    known = {one.day: one for one in _kept(warehouse, gate)}
    for day in days:
        verdict = known.get(day)
        if verdict is None or not _is_of(verdict, declared, day_in(table, day)):
            verdict = validate(settings, gate, day, now_ms)
        failure = verdict.failure()
        if failure is not None:
            raise failure


def failed_days(warehouse: Warehouse, gate: Gate, last: date) -> set[date]:
    """The days up to one of which it is known that they don't pass."""
    return {one.day for one in _kept(warehouse, gate) if not one.passes and one.day <= last}


def spelled(value: float | None) -> str:
    """A measure as people read it."""
    return "–" if value is None else f"{value:,.4g}"


def bounds(measure: Measure) -> str:
    """Where a measure has to be, as people read it."""
    if measure.least is None:
        return f"at most {spelled(measure.most)}"
    if measure.most is None:
        return f"at least {spelled(measure.least)}"
    return f"{spelled(measure.least)} to {spelled(measure.most)}"


def _is_of(verdict: Verdict, declared: str, found: Day) -> bool:
    """Whether a verdict is one on the rules that there are, and the rows."""
    return verdict.content == found.content and verdict.declared == declared


def _declared(warehouse: Warehouse, gate: Gate) -> str:
    """The rules, with the baselines that they compare with."""
    names = {rule.baseline for rule in gate.rules if isinstance(rule, Drift)}
    compared = [
        one
        for one in (baselines(warehouse) if names else [])
        if one.of == gate.name and one.name in names
    ]
    return hashlib.sha256(repr((gate.rules, compared)).encode()).hexdigest()


def _keep(warehouse: Warehouse, verdict: Verdict, now_ms: int) -> None:
    rules = [
        {
            "rule": one.rule,
            "value": one.value,
            "least": one.least,
            "most": one.most,
            "unit": one.unit,
            "told": one.told,
            "kept": kept,
        }
        for one, kept in zip(verdict.measures, verdict.kept, strict=True)
    ]
    row = {
        "target": verdict.of,
        "table": verdict.table,
        "day": verdict.day,
        "rows": verdict.rows,
        "content": verdict.content,
        "declared": verdict.declared,
        "rules": rules,
        "accepted": verdict.accepted,
        "judged_at": now_ms,
    }
    where = f"\"table\" = '{verdict.table}' AND day = DATE '{verdict.day}'"
    replace_rows(warehouse, VERDICTS, pa.Table.from_pylist([row], schema=_SCHEMA), where)


def _kept(warehouse: Warehouse, gate: Gate) -> list[Verdict]:
    if not warehouse.exists(VERDICTS):
        return []
    ours = pc.field("table") == gated_table(gate)
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
            docs=None,
        )
        for row in warehouse.read(VERDICTS, where=ours).to_pylist()
    ]


def _measure(row: dict[str, object]) -> Measure:
    return Measure(**{name: value for name, value in row.items() if name != "kept"})  # type: ignore[arg-type] # as it was written
