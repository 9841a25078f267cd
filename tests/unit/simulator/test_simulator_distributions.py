"""The published size and distributions, with bounds that a fixed seed stays well within."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace_batch.simulator import Simulation, SimulationConfig, simulate
from headrace_batch.simulator.profiles import Profiles, draw_profiles

_CONFIG = SimulationConfig()
_DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def published() -> Simulation:
    return simulate(_CONFIG)


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    return draw_profiles(_CONFIG)


@pytest.fixture(scope="module")
def cards(published: Simulation) -> NDArray[np.int64]:
    texts = published.transactions["card_id"].to_pylist()
    return np.array([int(text.removeprefix("card-")) for text in texts])


@pytest.fixture(scope="module")
def times_ms(published: Simulation) -> NDArray[np.int64]:
    times: NDArray[np.int64] = published.transactions["event_time"].to_numpy()
    return times - _CONFIG.start_ms


def test_the_default_has_about_as_many_transactions_as_published(published: Simulation) -> None:
    assert published.transactions.num_rows == pytest.approx(1_754_155, rel=0.02)


def test_fraud_has_about_the_published_shares(published: Simulation) -> None:
    counts = np.bincount(published.scenarios, minlength=4)
    assert counts[1:].sum() / counts.sum() == pytest.approx(0.0084, abs=0.0008)
    assert counts[1:] == pytest.approx([978, 9_099, 4_604], rel=0.3)


def test_the_border_of_scenario_1_lies_at_220_exactly(published: Simulation) -> None:
    amounts = published.transactions["amount_minor"].to_numpy()
    untouched = published.scenarios < 2
    just_above = untouched & (amounts > 22_000) & (amounts <= 22_100)
    just_below = untouched & (amounts > 21_900) & (amounts <= 22_000)
    assert just_above.sum() > 20
    assert (published.scenarios[just_above] == 1).all()
    assert (published.scenarios[just_below] == 0).all()


def test_the_daily_numbers_of_a_card_are_poisson_with_its_mean(
    profiles: Profiles, cards: NDArray[np.int64], times_ms: NDArray[np.int64]
) -> None:
    days = times_ms // _DAY_MS
    size = _CONFIG.cards * _CONFIG.days
    counts = np.bincount(cards * _CONFIG.days + days, minlength=size)
    counts = counts.reshape(_CONFIG.cards, _CONFIG.days)
    # Both sums of squares are about chi-squared, with a deviation of √(2/n) of their mean n.
    totals = counts.sum(axis=1)
    expected = profiles.mean_per_day * _CONFIG.days
    frequent = expected > 10
    squares = np.square(totals - expected)[frequent] / expected[frequent]
    assert squares.mean() == pytest.approx(1, abs=5 * math.sqrt(2 / frequent.sum()))
    dispersion = counts.var(axis=1, ddof=1)[frequent] / counts.mean(axis=1)[frequent]
    assert dispersion.mean() == pytest.approx(1, abs=0.01)


def test_cards_differ_as_published(profiles: Profiles) -> None:
    kept = 0.9692
    assert profiles.mean_per_day.mean() == pytest.approx(2 * kept, rel=0.03)
    assert profiles.mean_per_day.max() == pytest.approx(4 * kept, rel=0.01)
    assert profiles.mean_amount.min() == pytest.approx(5, abs=0.2)
    assert profiles.mean_amount.max() == pytest.approx(100, abs=0.2)
    assert profiles.mean_amount.mean() == pytest.approx(52.5, rel=0.03)


def test_times_of_day_are_normal_around_noon_within_the_day(times_ms: NDArray[np.int64]) -> None:
    seconds = np.sort(times_ms % _DAY_MS) / 1000
    assert seconds[0] >= 1
    normal = NormalDist(43_200, 20_000)
    below, above = normal.cdf(1), normal.cdf(86_400)
    # Kolmogorov and Smirnov: the greatest distance of the two distribution functions.
    grid = np.linspace(1, 86_400, 2_001)
    expected = [(normal.cdf(at) - below) / (above - below) for at in grid]
    found = np.searchsorted(seconds, grid, side="right") / seconds.size
    assert np.abs(found - expected).max() < 2 / math.sqrt(seconds.size)


def test_milliseconds_are_uniform_within_their_second(times_ms: NDArray[np.int64]) -> None:
    counts = np.bincount(times_ms % 1000, minlength=1000)
    expected = times_ms.size / 1000
    squares = np.square(counts - expected).sum() / expected
    assert squares == pytest.approx(999, abs=5 * math.sqrt(2 * 999))


def test_genuine_amounts_follow_the_profile_of_the_card(
    published: Simulation, profiles: Profiles, cards: NDArray[np.int64]
) -> None:
    amounts = published.transactions["amount_minor"].to_numpy() / 100
    genuine = published.scenarios != 3
    # A negative draw (2.3 % of them) becomes one with the same mean as all: this is the mean of
    # a normal draw of mean 1 and deviation 1/2 with its negative part replaced by 1.
    normal = NormalDist(1, 0.5)
    negative = normal.cdf(0)
    mean = 1 * (1 - negative) + 0.5**2 * normal.pdf(0) + negative * 1
    in_means = amounts[genuine] / profiles.mean_amount[cards[genuine]]
    assert in_means.mean() == pytest.approx(mean, rel=0.002)
    assert (amounts[genuine] > 0).mean() > 0.999
    # What the published transactions show, for all but their scenario 3.
    assert amounts[genuine].mean() == pytest.approx(53.09, rel=0.03)
    assert amounts[genuine].std() == pytest.approx(39.62, rel=0.03)


def test_every_terminal_in_reach_is_as_likely(
    published: Simulation, profiles: Profiles, cards: NDArray[np.int64]
) -> None:
    texts = published.transactions["terminal_id"].to_pylist()
    terminals = np.array([int(text.removeprefix("terminal-")) for text in texts])
    first, reached = profiles.neighbours.first, profiles.neighbours.terminals
    squares, freedom = 0.0, 0
    for card in range(300):
        in_reach = reached[first[card] : first[card + 1]]
        used = terminals[cards == card]
        assert np.isin(used, in_reach).all()
        expected = used.size / in_reach.size
        counts = np.bincount(np.searchsorted(np.sort(in_reach), used), minlength=in_reach.size)
        if expected > 1:
            squares += float((np.square(counts - expected) / expected).sum())
            freedom += in_reach.size - 1
    assert squares == pytest.approx(freedom, abs=5 * math.sqrt(2 * freedom))


def test_channels_have_their_shares_and_ids_their_populations(published: Simulation) -> None:
    counts = published.transactions["channel"].value_counts().to_pylist()
    shares = {row["values"]: row["counts"] / published.transactions.num_rows for row in counts}
    expected = {"chip": 0.45, "contactless": 0.35, "online": 0.15, "magstripe": 0.05}
    assert shares == pytest.approx(expected, abs=0.002)
    ids = published.transactions["card_id"]
    assert 4_950 < len(ids.unique()) <= 5_000
