"""The shape, the order and the reproducibility of what a simulation gives."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, structs

from headrace_batch.simulator import (
    Simulation,
    SimulationConfig,
    config_for_rows,
    simulate,
    simulate_batches,
)
from headrace_schemas.columns import columns_of
from headrace_schemas.events import Transaction, TransactionLabel
from headrace_schemas.record_checks import first_problem

_DAY_MS = 86_400_000

_SMALL = st.builds(
    SimulationConfig,
    seed=st.integers(0, 2**70),
    cards=st.integers(3, 30),
    terminals=st.integers(2, 60),
    days=st.integers(1, 20),
    start=st.dates(date(2000, 1, 1), date(2099, 11, 1)),
    radius=st.sampled_from([1.0, 20.0, 150.0]),
    compromised_terminals_per_day=st.sampled_from([0.0, 0.3, 2.0]),
    stolen_cards_per_day=st.sampled_from([0.0, 0.3, 3.0]),
    rows=st.none() | st.integers(1, 300),
)


def _bytes(simulation: Simulation) -> bytes:
    sink = pa.BufferOutputStream()
    for table in (simulation.transactions, simulation.labels):
        whole = table.combine_chunks()
        with pa.ipc.new_stream(sink, whole.schema) as writer:
            writer.write_table(whole)
    return bytes(sink.getvalue()) + simulation.scenarios.tobytes()


@given(_SMALL)
@settings(max_examples=50)
def test_every_configuration_gives_valid_ordered_and_labelled_transactions(
    config: SimulationConfig,
) -> None:
    simulation = simulate(config)
    transactions, labels = simulation.transactions, simulation.labels
    transactions.validate(full=True)
    labels.validate(full=True)
    if config.rows is not None:
        assert transactions.num_rows <= config.rows
    times = transactions["event_time"].to_numpy()
    ids = transactions["transaction_id"].to_pylist()
    assert list(zip(times.tolist(), ids, strict=True)) == sorted(zip(times, ids, strict=True))
    assert ids == [f"tx{config.world}-{number:012}" for number in range(len(ids))]
    start = datetime(config.start.year, config.start.month, config.start.day, tzinfo=UTC)
    start_ms = (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert ((times >= start_ms + 1_000) & (times < start_ms + config.days * _DAY_MS)).all()
    assert (transactions["amount_minor"].to_numpy() >= 0).all()
    assert labels.select(range(4)).equals(transactions.select(range(4)))
    assert labels["is_fraud"].to_pylist() == (simulation.scenarios > 0).tolist()
    assert (labels["reported_at"].to_numpy() - times == 7 * _DAY_MS).all()
    for table, contract in ((transactions, Transaction), (labels, TransactionLabel)):
        for row in table.slice(0, 50).to_pylist():
            assert first_problem(row, columns_of(contract), owner=contract.__name__) is None


@given(_SMALL, st.integers(1, 400))
@settings(max_examples=50)
def test_the_split_into_batches_changes_nothing(config: SimulationConfig, batch_rows: int) -> None:
    batches = list(simulate_batches(config, batch_rows=batch_rows))
    assert all(batch.transactions.num_rows >= batch_rows for batch in batches[:-1])
    joined = Simulation(
        pa.concat_tables([batch.transactions for batch in batches]),
        pa.concat_tables([batch.labels for batch in batches]),
        np.concatenate([batch.scenarios for batch in batches]),
    )
    assert _bytes(joined) == _bytes(simulate(config))


def test_a_seed_gives_the_same_bytes_again_and_another_seed_others() -> None:
    config = config_for_rows(5_000, seed=11)
    assert _bytes(simulate(config)) == _bytes(simulate(config))
    other = simulate(config_for_rows(5_000, seed=12))
    ours = simulate(config)
    for column in ("card_id", "terminal_id", "event_time", "amount_minor", "channel"):
        assert not ours.transactions[column].equals(other.transactions[column])


def test_another_process_gives_the_same_bytes() -> None:
    program = (
        "import hashlib\n"
        "from headrace_batch.simulator import config_for_rows, simulate\n"
        "table = simulate(config_for_rows(3000, seed=5)).transactions\n"
        "text = repr(table.to_pydict()).encode()\n"
        "print(hashlib.sha256(text).hexdigest())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True, text=True
        ).stdout
        for _ in range(2)
    }
    assert len(outputs) == 1


@pytest.mark.parametrize(
    ("contract", "table"), [(Transaction, "transactions"), (TransactionLabel, "labels")]
)
def test_the_columns_are_those_of_the_contract(contract: type[Struct], table: str) -> None:
    types = {
        "int64": pa.int64(),
        "float64": pa.float64(),
        "string": pa.string(),
        "bool": pa.bool_(),
    }
    expected = [(column.name, types[column.type]) for column in columns_of(contract)]
    found = getattr(simulate(config_for_rows(10)), table).schema
    assert list(zip(found.names, found.types, strict=True)) == expected


def test_a_limit_of_rows_gives_the_beginning_of_the_unlimited_simulation() -> None:
    config = SimulationConfig(seed=4, cards=40, terminals=80, days=20, radius=60.0)
    whole, limited = simulate(config), simulate(structs.replace(config, rows=700))
    assert whole.transactions.num_rows > 1_000
    assert limited.transactions.equals(whole.transactions.slice(0, 700))
    assert limited.labels.equals(whole.labels.slice(0, 700))
    assert limited.scenarios.tolist() == whole.scenarios[:700].tolist()


def test_transactions_of_other_options_have_other_ids_and_more_rows_go_on_with_the_same() -> None:
    config = SimulationConfig(cards=20, terminals=40, days=30, rows=50)
    given = simulate(config).transactions
    longer = simulate(structs.replace(config, rows=500)).transactions
    assert longer.slice(0, 50) == given
    ids = given["transaction_id"].to_pylist()
    others: list[dict[str, Any]] = [{"seed": 1}, {"cards": 21}, {"days": 31}]
    others.append({"start": date(2019, 4, 1)})
    for other in others:
        elsewhere = simulate(structs.replace(config, **other)).transactions["transaction_id"]
        assert set(ids).isdisjoint(elsewhere.to_pylist())


def test_cards_that_reach_no_terminal_make_no_transactions() -> None:
    lonely = SimulationConfig(
        cards=50, terminals=2, days=30, radius=1e-6, compromised_terminals_per_day=0
    )
    simulation = simulate(lonely)
    assert simulation.transactions.num_rows == 0
    assert simulation.labels.schema.names == list(TransactionLabel.__struct_fields__)


def test_a_place_belongs_to_a_terminal_and_a_currency_to_a_country() -> None:
    transactions = simulate(config_for_rows(50_000)).transactions
    places = transactions.group_by("terminal_id").aggregate(
        [(name, "count_distinct") for name in ("latitude", "longitude", "country")]
    )
    for name in ("latitude", "longitude", "country"):
        assert set(places[f"{name}_count_distinct"].to_pylist()) == {1}
    pairs = transactions.group_by(["country", "currency"]).aggregate([])
    assert sorted(zip(*pairs.to_pydict().values(), strict=True)) == [
        ("AT", "EUR"),
        ("CH", "CHF"),
        ("DE", "EUR"),
        ("FR", "EUR"),
        ("NL", "EUR"),
        ("PL", "PLN"),
    ]


def test_a_simulation_does_not_load_pandas() -> None:
    program = (
        "import sys\n"
        "from headrace_batch.simulator import config_for_rows, simulate\n"
        "simulate(config_for_rows(100))\n"
        "print('pandas' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert done.stdout.strip() == "False"
