"""Repeated timings, taken in turn so that a machine's moods fall on everyone alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter


def in_turn(
    contenders: Mapping[str, Callable[[], object]],
    repeat: int,
    advance: Callable[[str], None],
) -> dict[str, float]:
    """Median seconds of each contender over rounds in which each runs once.

    A first round warms up and doesn't count.

    Args:
        contenders: what to run, by name.
        repeat: rounds that count.
        advance: is told what runs next.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(repeat + 1):
        for name, run in contenders.items():
            advance(f"{name}, {round_number} of {repeat}")
            began = perf_counter()
            run()
            if round_number:
                seconds[name].append(perf_counter() - began)
    return {name: median(values) for name, values in seconds.items()}


def rates_in_turn(
    contenders: Mapping[str, Callable[[], float]],
    repeat: int,
    advance: Callable[[str], None],
) -> dict[str, list[float]]:
    """What contenders say of themselves over rounds in which each runs once.

    Args:
        contenders: what to run, by name; they warm up by themselves.
        repeat: rounds.
        advance: is told what runs next.
    """
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(1, repeat + 1):
        for name, run in contenders.items():
            advance(f"{name}, {number} of {repeat}")
            found[name].append(run())
    return found
