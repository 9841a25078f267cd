"""Simulated transactions written to Parquet, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace_schemas.days import parse_day

if TYPE_CHECKING:
    from headrace_batch.simulator import SimulationConfig


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """What was written where."""

    transactions: Path
    labels: Path
    rows: int
    frauds: int


def simulation_config(
    *, rows: int | None, cards: int | None, days: int | None, start: str | None, seed: int
) -> SimulationConfig:
    """The configuration for what was asked; published numbers where nothing was.

    A number of cards keeps the published density: two terminals for a card, as many in reach.
    """
    from headrace_batch.simulator import SimulationConfig, config_for_rows
    from headrace_schemas.errors import ConfigurationError

    chosen: dict[str, Any] = {"seed": seed}
    if start is not None:
        chosen["start"] = parse_day(start, "--start")
    if rows is not None:
        if cards is not None or days is not None:
            message = "--rows chooses the cards and days itself"
            raise ConfigurationError(message, hint="give --rows alone, or --cards and --days")
        return config_for_rows(rows, **chosen)
    published = SimulationConfig()
    if cards is not None:
        size = cards / published.cards
        chosen |= {
            "cards": cards,
            "terminals": max(round(published.terminals * size), 1),
            "radius": published.radius / size**0.5 if size > 0 else published.radius,
            "compromised_terminals_per_day": published.compromised_terminals_per_day * size,
            "stolen_cards_per_day": published.stolen_cards_per_day * size,
        }
    if days is not None:
        chosen["days"] = days
    return SimulationConfig(**chosen)


def write_simulation(
    out: Path, config: SimulationConfig, advance: Callable[[int], None]
) -> SimulationReport:
    """Generate transactions and labels into a folder; a file appears when it is whole.

    Args:
        out: the folder, made if needed.
        config: what to simulate.
        advance: takes the number of rows written so far.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from headrace_batch.simulator import simulate_batches

    out.mkdir(parents=True, exist_ok=True)
    paths = {"transactions": out / "transactions.parquet", "labels": out / "labels.parquet"}
    writers: dict[str, pq.ParquetWriter] = {}
    rows = frauds = 0
    try:
        for batch in simulate_batches(config):
            for name, table in (("transactions", batch.transactions), ("labels", batch.labels)):
                if name not in writers:
                    writers[name] = pq.ParquetWriter(_growing(paths[name]), table.schema)
                writers[name].write_table(table)
            rows += batch.transactions.num_rows
            frauds += pc.sum(batch.labels["is_fraud"]).as_py() or 0
            advance(rows)
        for writer in writers.values():
            writer.close()
        for path in paths.values():
            _growing(path).replace(path)
    finally:
        # Whatever is left by an error or an interruption; after a success there is nothing.
        for path in paths.values():
            _growing(path).unlink(missing_ok=True)
    return SimulationReport(paths["transactions"], paths["labels"], rows, frauds)


def _growing(path: Path) -> Path:
    return path.with_name(f".{path.name}.growing")
