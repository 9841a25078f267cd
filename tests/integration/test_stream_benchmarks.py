"""The benchmarks of the stream on real services, at the size of a toy."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace_features.embedded import read_book
from headrace_orchestration import cli
from headrace_orchestration.benchmarks import stream


def bench(monkeypatch: pytest.MonkeyPatch, home: Path, *arguments: object) -> Any:
    """Run a benchmark in this process; returns what it wrote, once it has tidied up."""
    written = home / "figures.json"
    command = ["headrace", "bench", *map(str, arguments), "--json", str(written)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setenv("HEADRACE_HOME", str(home))
    with pytest.raises(SystemExit) as ended:
        cli.run()
    assert not ended.value.code
    assert not list(home.glob("bench-*"))
    assert not read_book(home).services
    return json.loads(written.read_text())


def test_latencies_are_of_alerts_that_all_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_SETTLE_S", 2.0)
    options = ("--cards", 50, "--rate", 100, "--rate", 150, "--seconds", 2)
    slow, quick = bench(monkeypatch, tmp_path, "stream", *options)
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


def test_every_transaction_of_a_drained_backlog_is_decided_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--rows", 2_000, "--cards", 100, "--no-peer")
    figures = bench(monkeypatch, tmp_path, "drain", *options)
    assert figures["transactions"] == 2_000
    assert figures["labels"] > 100
    assert figures["drain_events_eps"] > figures["drain_eps"] > 0
    assert figures["ordered_drain_eps"] > 0
    assert figures["peer_drain_eps"] is None
