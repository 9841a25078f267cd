"""Named baselines: the distributions of columns over some days, to compare others with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.quality.distribution import Bins, Counts, bins_of
from headrace_batch.quality.tables import gated_table, replace_rows
from headrace_features.definitions.gates import Drift
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.tables import BASELINES, EVENT_DATE

if TYPE_CHECKING:
    import pyarrow.dataset as pa_ds

    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.gates import Gate

_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("target", pa.string()),
        ("column", pa.string()),
        ("edges", pa.list_(pa.float64())),
        ("values", pa.list_(pa.string())),
        ("shares", pa.list_(pa.float64())),
        ("rows", pa.int64()),
        ("first_day", pa.date32()),
        ("last_day", pa.date32()),
    ]
)
#: Rows from which bins are made; the shares are those of all rows.
_SAMPLED = 1_000_000
_BATCH_ROWS = 131_072


@dataclass(frozen=True, slots=True)
class Baseline:
    """The distribution of one column over the rows of some days, both included.

    Attributes:
        shares: the share of rows in each bin.
        rows: how many rows there were.
    """

    name: str
    of: str
    column: str
    bins: Bins
    shares: tuple[float, ...]
    rows: int
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class MissingBaseline:
    """A baseline that rules of a gate name, without which no day can be held to it."""

    name: str
    of: str

    @property
    def command(self) -> str:
        """What makes it."""
        return (
            f"headrace baseline set {self.name} --of {self.of} --start YYYY-MM-DD --end YYYY-MM-DD"
        )


def set_baseline(
    warehouse: Warehouse, gate: Gate, name: str, first: date, last: date
) -> list[Baseline]:
    """Make a baseline of some days, in place of one of that name, for the rules that name it.

    Raises:
        ConfigurationError: no rule of the gate names it, or the days have no rows.
    """
    columns = [
        rule.column for rule in gate.rules if isinstance(rule, Drift) and rule.baseline == name
    ]
    if not columns:
        known = sorted({rule.baseline for rule in gate.rules if isinstance(rule, Drift)})
        raise ConfigurationError(
            f"no rule of the gate of {gate.name} compares with a baseline {name!r}",
            hint=f"baselines of its rules: {', '.join(known) or 'none'}",
        )
    made = _measured(warehouse, gate, name, columns, (first, last))
    _replace(warehouse, made)
    return made


def baselines(warehouse: Warehouse) -> list[Baseline]:
    """All baselines, in the order of their names."""
    if not warehouse.exists(BASELINES):
        return []
    rows = warehouse.read(BASELINES).to_pylist()
    found = [
        Baseline(
            name=row["name"],
            of=row["target"],
            column=row["column"],
            bins=Bins(
                None if row["edges"] is None else tuple(row["edges"]),
                None if row["values"] is None else tuple(row["values"]),
            ),
            shares=tuple(row["shares"]),
            rows=row["rows"],
            first=row["first_day"],
            last=row["last_day"],
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (one.of, one.name, one.column))


def baseline_of(known: Iterable[Baseline], gate: Gate, rule: Drift) -> Baseline:
    """The baseline that a rule compares with.

    Raises:
        ConfigurationError: there is none.
    """
    ours = [one for one in known if one.of == gate.name and one.name == rule.baseline]
    for one in ours:
        if one.column == rule.column:
            return one
    lacks = f" of the column {rule.column}" if ours else ""
    raise ConfigurationError(
        f"there is no baseline {rule.baseline!r}{lacks} for {gate.name}, with which its gate"
        f" compares {rule.column}",
        hint=f"make it of good days: {MissingBaseline(rule.baseline, gate.name).command}",
    )


def missing_baselines(warehouse: Warehouse, gates: Iterable[Gate]) -> list[MissingBaseline]:
    """Those that rules compare with and that have not been made yet, each once."""
    wanted = [
        (gate.name, rule.baseline, rule.column)
        for gate in gates
        for rule in gate.rules
        if isinstance(rule, Drift)
    ]
    there = {(one.of, one.name, one.column) for one in (baselines(warehouse) if wanted else ())}
    found = [
        MissingBaseline(name, of) for of, name, column in wanted if (of, name, column) not in there
    ]
    return list(dict.fromkeys(found))


def _measured(
    warehouse: Warehouse, gate: Gate, name: str, columns: Sequence[str], days: tuple[date, date]
) -> list[Baseline]:
    table = gated_table(gate)
    with warehouse.explaining(table):
        rows = warehouse.dataset(table)
        span = (pc.field(EVENT_DATE) >= days[0]) & (pc.field(EVENT_DATE) <= days[1])
        count = rows.count_rows(filter=span)
        if not count:
            raise ConfigurationError(
                f"{table} has no rows from {days[0]} to {days[1]}",
                hint="a baseline is made of days that are there: see --start and --end",
            )
        bins = _bins(rows, span, columns, every=max(1, count // _SAMPLED))
        counts: list[Counts] = [np.zeros(one.count, np.int64) for one in bins]
        for batch in rows.to_batches(columns=columns, filter=span, batch_size=_BATCH_ROWS):
            for place, column in enumerate(columns):
                counts[place] += bins[place].counts(pa.chunked_array([batch.column(column)]))
    return [
        Baseline(
            name=name,
            of=gate.name,
            column=column,
            bins=bins[place],
            shares=tuple((counts[place] / count).tolist()),
            rows=count,
            first=days[0],
            last=days[1],
        )
        for place, column in enumerate(columns)
    ]


def _bins(
    rows: pa_ds.Dataset, span: pc.Expression, columns: Sequence[str], every: int
) -> list[Bins]:
    """Bins of each column, from every so many of the rows."""
    parts = [
        batch.take(pa.array(np.arange(0, batch.num_rows, every)))
        for batch in rows.to_batches(columns=columns, filter=span, batch_size=_BATCH_ROWS)
    ]
    sample = pa.Table.from_batches(parts)
    return [bins_of(sample.column(column)) for column in columns]


def _replace(warehouse: Warehouse, made: Sequence[Baseline]) -> None:
    rows = pa.Table.from_pylist(
        [
            {
                "name": one.name,
                "target": one.of,
                "column": one.column,
                "edges": one.bins.edges,
                "values": one.bins.values,
                "shares": one.shares,
                "rows": one.rows,
                "first_day": one.first,
                "last_day": one.last,
            }
            for one in made
        ],
        schema=_SCHEMA,
    )
    where = f"name = '{made[0].name}' AND target = '{made[0].of}'"
    replace_rows(warehouse, BASELINES, _SCHEMA, where, lambda _: rows)
