"""The benchmarks of training sets, at the size of a toy; their peers run in tests/trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ROWS = 20_000
#: Three ids, 60 inputs, a label, and a mask up to a multiple of eight.
ROW_BYTES = 3 * 8 + 60 * 4 + 4 + 12


def test_a_loader_is_measured_in_all_states_of_its_shards(bench: Callable[..., Any]) -> None:
    figures = bench("loader", "--rows", ROWS, "--repeat", 2, "--no-peer")
    assert (figures["rows"], figures["row_bytes"]) == (ROWS, ROW_BYTES)
    for state in ("", "least_", "first_", "cold_", "parquet_"):
        assert figures[f"{state}rows_per_s"] > 0
    assert 0 < figures["share_of_memory_bandwidth"] < 1
    assert figures["batch_rows"] * ROW_BYTES < figures["buffer_bytes"]
    assert figures["buffer_bytes"] <= figures["most_buffer_bytes"]
    assert figures["peer_rows_per_s"] is None
    assert figures["device"] is None


def test_a_set_is_staged_once_a_round(bench: Callable[..., Any]) -> None:
    figures = bench("stage", "--rows", ROWS, "--repeat", 2, "--no-peer")
    assert (figures["rows"], figures["columns"], figures["repeat"]) == (ROWS, 64, 2)
    assert 0 < figures["least_rows_per_s"] <= figures["rows_per_s"]
    assert figures["peer_rows_per_s"] is None
