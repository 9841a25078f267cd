"""The three scenarios, seen in the transactions and labels that come out."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from headrace_batch.simulator import Simulation, SimulationConfig, simulate

_DAY_MS = 86_400_000

_NO_FRAUD = SimulationConfig(
    seed=21,
    cards=120,
    terminals=40,
    days=130,
    radius=60.0,
    compromised_terminals_per_day=0,
    stolen_cards_per_day=0,
)


def _days(simulation: Simulation) -> NDArray[np.int64]:
    times: NDArray[np.int64] = simulation.transactions["event_time"].to_numpy()
    return (times - SimulationConfig().start_ms) // _DAY_MS


def _column(simulation: Simulation, name: str) -> NDArray[np.object_]:
    values: NDArray[np.object_] = np.array(simulation.transactions[name].to_pylist())
    return values


@pytest.fixture(scope="module")
def busy() -> Simulation:
    """All scenarios at many times their published rates, so that they meet."""
    return simulate(
        structs.replace(_NO_FRAUD, compromised_terminals_per_day=0.1, stolen_cards_per_day=2)
    )


def test_an_amount_over_220_is_fraud_of_the_first_scenario_unless_a_later_one_took_it(
    busy: Simulation,
) -> None:
    large = busy.transactions["amount_minor"].to_numpy() > 22_000
    untouched = busy.scenarios < 2
    assert (busy.scenarios[untouched] == large[untouched]).all()
    assert (busy.scenarios == 1).any()
    assert (large & (busy.scenarios == 2)).any()
    assert (large & (busy.scenarios == 3)).any()


def test_without_other_scenarios_only_large_amounts_are_fraud() -> None:
    simulation = simulate(_NO_FRAUD)
    large = simulation.transactions["amount_minor"].to_numpy() > 22_000
    assert simulation.labels["is_fraud"].to_numpy().tolist() == large.tolist()
    assert set(simulation.scenarios.tolist()) == {0, 1}


def test_all_transactions_of_a_compromised_terminal_are_fraud_for_28_days_and_none_outside() -> (
    None
):
    # One terminal each fifty days: on the days 49 and 99, so that the windows are apart.
    simulation = simulate(structs.replace(_NO_FRAUD, compromised_terminals_per_day=0.02))
    days, terminals = _days(simulation), _column(simulation, "terminal_id")
    hit = simulation.scenarios == 2
    for begin in (49, 99):
        within = (days >= begin) & (days < begin + 28)
        (terminal,) = set(terminals[hit & within])
        assert hit[within & (terminals == terminal)].all()
        assert {begin, begin + 27} <= set(days[hit & within].tolist())
        hit = hit & ~within
    assert not hit.any()


def test_a_third_of_a_stolen_cards_transactions_of_14_days_is_fraud_and_none_outside() -> None:
    # One card each twenty days: on the days 19, 39, 59 and so on.
    simulation = simulate(structs.replace(_NO_FRAUD, stolen_cards_per_day=0.05))
    days, cards = _days(simulation), _column(simulation, "card_id")
    amounts = simulation.transactions["amount_minor"].to_numpy()
    hit = simulation.scenarios == 3
    assert (amounts[hit] % 5 == 0).all()
    sizes = []
    for begin in (19, 39, 59, 79, 99, 119):
        within = (days >= begin) & (days < begin + 14)
        (card,) = set(cards[hit & within])
        of_card = within & (cards == card)
        assert (hit & within).sum() == of_card.sum() // 3
        sizes.append(int(of_card.sum()))
        hit = hit & ~within
    assert not hit.any()
    assert max(sizes) > 20


def test_stolen_cards_spend_five_times_as_much_in_fraud() -> None:
    config = structs.replace(_NO_FRAUD, cards=2_000, days=60, stolen_cards_per_day=5)
    simulation = simulate(config)
    cards = _column(simulation, "card_id")
    amounts = simulation.transactions["amount_minor"].to_numpy()
    hit = simulation.scenarios == 3
    ratios = [
        amounts[hit & (cards == card)].mean() / amounts[~hit & (cards == card)].mean()
        for card in sorted(set(cards[hit]))
    ]
    assert len(ratios) > 200
    assert 4.7 < float(np.median(ratios)) < 5.3


def test_what_is_drawn_for_several_thefts_is_multiplied_by_each() -> None:
    # Each transaction from day 13 on lies within fourteen thefts of its card, and each theft
    # draws a third: 97.2 % are drawn twice or more; of the others a few end in 00, 25, 50 or 75.
    config = structs.replace(_NO_FRAUD, cards=3, days=600, stolen_cards_per_day=3)
    simulation = simulate(config)
    amounts = simulation.transactions["amount_minor"].to_numpy()[_days(simulation) >= 13]
    assert amounts.size > 500
    assert (amounts % 25 == 0).mean() == pytest.approx(0.977, abs=0.02)


def test_a_later_scenario_takes_the_place_of_an_earlier_one() -> None:
    everywhere = structs.replace(_NO_FRAUD, days=30, compromised_terminals_per_day=40)
    assert set(simulate(everywhere).scenarios.tolist()) == {2}
    both = simulate(structs.replace(everywhere, stolen_cards_per_day=3))
    assert set(both.scenarios.tolist()) == {2, 3}


def test_thefts_on_every_day_of_every_card_keep_amounts_within_64_bits() -> None:
    config = structs.replace(_NO_FRAUD, cards=3, days=40, stolen_cards_per_day=3)
    amounts = simulate(config).transactions["amount_minor"].to_numpy()
    assert amounts.min() >= 0
    assert amounts.max() > 5**6
    assert amounts.max() < 5**14 * 10**5


def test_fraud_changes_nothing_of_the_transactions_but_their_amounts() -> None:
    # Compromised terminals need no numbers in advance, so all else can be compared.
    genuine = simulate(_NO_FRAUD)
    hit = simulate(structs.replace(_NO_FRAUD, compromised_terminals_per_day=1))
    assert hit.transactions.equals(genuine.transactions)
    assert hit.scenarios.sum() > genuine.scenarios.sum()
