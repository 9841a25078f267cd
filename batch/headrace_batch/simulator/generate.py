"""Simulates days one by one and hands them over as tables, in batches or at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_batch.simulator.config import SimulationConfig
from headrace_batch.simulator.fraud import FraudPlan, apply_fraud, plan_fraud, settle_counts
from headrace_batch.simulator.model import DAY_MS
from headrace_batch.simulator.profiles import Profiles, draw_profiles
from headrace_batch.simulator.randomness import Stream, generator
from headrace_batch.simulator.tables import Rows, TableBuilder, joined
from headrace_batch.simulator.transactions import draw_counts, draw_transactions
from headrace_schemas.errors import ConfigurationError

_POSITION_BITS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """Transactions in the order of time, the label of each, and what kind of fraud it is.

    `transactions` has the columns of `Transaction`, `labels` those of `TransactionLabel`, row by
    row for the same transactions. `scenarios` is 0 for a genuine one, else 1 (large amount),
    2 (compromised terminal) or 3 (stolen card details).
    """

    transactions: pa.Table
    labels: pa.Table
    scenarios: NDArray[np.int8]


def simulate(config: SimulationConfig) -> Simulation:
    """All of a simulation at once; about 150 bytes of memory for each row."""
    batches = list(simulate_batches(config))
    return Simulation(
        pa.concat_tables([batch.transactions for batch in batches]),
        pa.concat_tables([batch.labels for batch in batches]),
        np.concatenate([batch.scenarios for batch in batches]),
    )


def simulate_batches(
    config: SimulationConfig, *, batch_rows: int = 1_000_000
) -> Iterator[Simulation]:
    """A simulation as consecutive pieces of whole days, in the order of time.

    A batch ends with the day on which it reaches `batch_rows` transactions; only the last may
    have fewer, or none. There is at least one. Memory holds the profiles and one batch. How the
    rows are split changes nothing in them.

    Raises:
        ConfigurationError: `batch_rows` is below 1.
    """
    if batch_rows < 1:
        raise ConfigurationError(f"batch_rows is {batch_rows}, expected 1 or more")
    return _batches(config, batch_rows)


def _batches(config: SimulationConfig, batch_rows: int) -> Iterator[Simulation]:
    profiles = draw_profiles(config)
    builder = TableBuilder(config.world, config.cards, profiles.terminals)
    done = waiting = 0
    pending: list[Rows] = []
    for rows in _days(config, profiles):
        pending.append(rows)
        waiting += rows.card.size
        if waiting >= batch_rows:
            yield _simulation(builder, joined(pending), done)
            done, waiting = done + waiting, 0
            pending.clear()
    if pending:
        yield _simulation(builder, joined(pending), done)


def _simulation(builder: TableBuilder, rows: Rows, first_number: int) -> Simulation:
    transactions, labels = builder.build(rows, first_number)
    return Simulation(transactions, labels, rows.scenario)


def _days(config: SimulationConfig, profiles: Profiles) -> Iterator[Rows]:
    """The rows of each day, up to the number of rows that is wanted."""
    plan = plan_fraud(config, profiles)
    missing = config.rows
    for day in range(config.days):
        rows = _day(config, profiles, plan, day)
        if missing is not None:
            rows = rows.head(missing)
            missing -= rows.card.size
        yield rows
        if missing == 0:
            return


def _day(config: SimulationConfig, profiles: Profiles, plan: FraudPlan, day: int) -> Rows:
    random = generator(config.seed, Stream.TRANSACTIONS, day)
    counts = draw_counts(random, profiles.mean_per_day)
    settle_counts(plan, day, counts)
    drawn = draw_transactions(random, profiles, counts)
    scenario = apply_fraud(plan, day, counts, drawn, config.terminals)
    order = _order_of_time(drawn.time_of_day_ms)
    return Rows(
        drawn.card[order],
        drawn.terminal[order],
        drawn.time_of_day_ms[order] + (config.start_ms + day * DAY_MS),
        drawn.amount_minor[order],
        drawn.channel[order],
        scenario[order],
    )


def _order_of_time(time_of_day_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions by time, equal times by position.

    Sorting times with their positions in the low bits takes a tenth of a stable argsort.
    """
    keys = (time_of_day_ms << _POSITION_BITS) | np.arange(time_of_day_ms.size)
    keys.sort()
    return keys & ((1 << _POSITION_BITS) - 1)
