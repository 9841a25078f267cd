"""The highest rate of requests that a server holds."""

from __future__ import annotations

import pytest

from headrace_orchestration.benchmarks.http_load import Held, highest

MOST_MS = 20.0


@pytest.mark.parametrize("most", [100, 160, 700, 4_000])
def test_it_is_found_within_a_tenth(most: float) -> None:
    asked: list[float] = []

    def at(rate: float) -> Held:
        asked.append(rate)
        return Held(rate, 1.0, MOST_MS if rate <= most else 1_000.0)

    found = highest(at, 100.0, MOST_MS)
    assert 0.9 * most <= found.rate <= most
    assert found.p99_ms == MOST_MS
    assert max(asked) > most


def test_one_hindrance_of_a_rate_is_none() -> None:
    hindered: set[float] = set()

    def at(rate: float) -> Held:
        late = rate not in hindered
        hindered.add(rate)
        return Held(rate, 1.0, 1_000.0 if late or rate > 700 else 5.0)

    assert 630 <= highest(at, 100.0, MOST_MS).rate <= 700


def test_a_server_that_holds_not_even_the_first_holds_none() -> None:
    found = highest(lambda rate: Held(rate, 30.0, 40.0), 100.0, MOST_MS)
    assert found == Held(0.0, 30.0, 40.0)
