"""What a simulation refuses, and how it is sized for a number of rows."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from headrace_batch.simulator import SimulationConfig, config_for_rows, simulate_batches
from headrace_schemas.errors import ConfigurationError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed is -1, expected 0 or more"),
        ({"cards": 0}, "cards is 0, expected 1 to 50000000"),
        ({"terminals": 0}, "terminals is 0, expected 1 to 100000000"),
        ({"days": 0}, "days is 0, expected 1 or more"),
        ({"rows": 0}, "rows is 0, expected 1 or more"),
        ({"radius": 0.0}, "radius is 0.0, expected more than 0"),
        ({"radius": float("nan")}, "radius is nan, expected more than 0"),
        ({"cards": 2}, "stolen_cards_per_day is 3, expected 0 to 2"),
        ({"terminals": 1}, "compromised_terminals_per_day is 2, expected 0 to 1"),
        ({"stolen_cards_per_day": float("nan")}, "stolen_cards_per_day is nan"),
        ({"start": date(1999, 12, 31)}, "leave the years 2000 to 2099"),
        ({"start": date(2099, 12, 1), "days": 25}, "leave the years 2000 to 2099"),
    ],
)
def test_an_impossible_setting_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SimulationConfig(**changes)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_a_radius_that_memory_would_not_hold_is_refused_with_one_that_it_does() -> None:
    size = {"cards": 1_000_000, "terminals": 2_000_000}
    with pytest.raises(ConfigurationError, match=r"choose a radius of at most 0\.892") as caught:
        SimulationConfig(**size, radius=5.0)  # type: ignore[arg-type]
    assert "15708 of 2000000 terminals" in str(caught.value)
    SimulationConfig(**size, radius=0.892)  # type: ignore[arg-type]


def test_a_batch_of_no_rows_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(ConfigurationError, match="batch_rows is 0"):
        simulate_batches(SimulationConfig(), batch_rows=0)


@pytest.mark.parametrize("rows", [1, 7, 1_000, 12_345, 100_000])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_wanted_number_of_rows_is_met_exactly(rows: int, seed: int) -> None:
    config = config_for_rows(rows, seed=seed)
    assert config.seed == seed
    batches = list(simulate_batches(config))
    assert sum(batch.transactions.num_rows for batch in batches) == rows
    assert sum(batch.labels.num_rows for batch in batches) == rows


def test_sizing_keeps_the_published_proportions() -> None:
    config = config_for_rows(100_000_000)
    assert config.terminals == pytest.approx(2 * config.cards, rel=1e-4)
    assert config.stolen_cards_per_day / config.cards == pytest.approx(3 / 5_000)
    assert config.compromised_terminals_per_day / config.terminals == pytest.approx(2 / 10_000)
    in_reach = np.pi * (config.radius / 100) ** 2 * config.terminals
    assert in_reach == pytest.approx(np.pi * 0.05**2 * 10_000, rel=1e-4)
    assert 183 <= config.days < 190


def test_a_billion_rows_and_more_can_be_configured() -> None:
    assert config_for_rows(10**10).cards == 5_000_000


def test_a_number_of_rows_below_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="rows is 0, expected 1 or more"):
        config_for_rows(0)
