"""The benchmark of many events, at the size of a toy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def test_all_steps_are_measured_at_each_size_and_increments_by_their_windows(
    bench: Callable[..., Any],
) -> None:
    *sizes, windows = bench(
        "scale", "--events", 3_000, "--events", 6_000, "--days", 4, "--windows", 5_000
    )
    assert [(one["events"], one["increment_events"]) for one in sizes] == [
        (3_000, 750),
        (6_000, 1_500),
    ]
    for one in sizes:
        assert min(one["ingest_s"], one["backfill_s"], one["increment_s"]) > 0
        assert 0.05 < one["peak_rss_gib"] < 8
        assert min(one["lake_bytes"], one["tile_bytes"], one["store_bytes"]) > 10
        assert 100 < one["entities"] < one["events"]
    assert windows["ratio"]["1d"] == 1
    assert set(windows["increment_s"]) == {"1d", "7d", "90d"}


def test_the_same_is_measured_on_spark_with_the_memory_of_its_workers(
    bench: Callable[..., Any],
) -> None:
    (one,) = bench("scale", "--events", 3_000, "--days", 4, "--engine", "spark")
    assert (one["engine"], one["increment_events"]) == ("spark", 750)
    # A JVM has more than any process of ours.
    assert 0.2 < one["peak_rss_gib"] < 8
