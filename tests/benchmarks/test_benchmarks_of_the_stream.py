"""The benchmarks of the stream on real services, at the size of a toy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace_orchestration.benchmarks import stream


def test_latencies_are_of_alerts_that_all_came(
    bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_SETTLE_S", 2.0)
    options = ("--cards", 50, "--rate", 100, "--rate", 150, "--seconds", 2)
    slow, quick = bench("stream", *options)
    assert (slow["rate"], quick["rate"]) == (100, 150)
    for figures in (slow, quick):
        # On a busy machine some are late; whether that counts is said.
        assert 0 < figures["sent_share"] <= 1
        assert figures["counts"] == (figures["sent_share"] >= stream.LEAST_SENT)
        assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["p999_ms"]
        assert figures["alerts"] > 5
        assert figures["missing"] == 0
        assert figures["cards"] == 50
        assert figures["state_backend"] == "hashmap"
        assert 1_000 < figures["state_bytes_per_card"] < 100_000


def test_every_transaction_of_a_drained_backlog_is_decided_once(bench: Callable[..., Any]) -> None:
    options = ("--rows", 2_000, "--cards", 100, "--no-peer")
    figures = bench("drain", *options)
    assert figures["transactions"] == 2_000
    assert figures["labels"] > 100
    assert figures["drain_events_eps"] > figures["drain_eps"] > 0
    assert figures["ordered_drain_eps"] > 0
    assert figures["replay_eps"] > 0
    assert figures["peer_drain_eps"] is None
