"""`bench memory`: how much memory a backfill of many events takes, process by process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from headrace_batch.ingest.run import ingest
from headrace_batch.simulator import config_for_rows
from headrace_features.project import load_project
from headrace_orchestration.simulation import write_simulation
from headrace_schemas.errors import HeadraceError
from headrace_schemas.settings import load

_SAMPLE_S = 0.1
_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """What was measured.

    Attributes:
        events: in the source of each of the two views.
        ingest_s: both sources, in-process.
        backfill_s: both views, start of the process included.
        peak_gib: the largest resident memory of each process of the backfill, largest first, by
            its name; memory that forked workers share is counted in each.
        peak_sum_gib: the largest sum over all of them at one moment.
    """

    events: int
    engine: str
    ingest_s: float
    backfill_s: float
    peak_gib: tuple[tuple[str, float], ...]
    peak_sum_gib: float


def measure(events: int, engine: str, advance: Callable[[str], None]) -> MemoryFigures:
    """Generate, ingest and backfill in a folder of its own.

    Args:
        events: how many transactions, each with a label.
        engine: local or spark.
        advance: is told what goes on.

    Raises:
        HeadraceError: the backfill failed.
    """
    home = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    try:
        advance("generate")
        made = write_simulation(home / "simulated", config_for_rows(events), lambda _: None)
        settings = load(home, {"HEADRACE_HOME": str(home)})
        project = load_project(settings)
        advance("ingest")
        began = time.perf_counter()
        for file, source in (
            (made.transactions, "transactions"),
            (made.labels, "transaction_labels"),
        ):
            ingest(settings, project, str(file), source=source)
        ingest_s = time.perf_counter() - began
        shutil.rmtree(made.transactions.parent)
        advance(f"backfill, {engine}")
        began = time.perf_counter()
        peaks, together = _watched(home, engine)
        return MemoryFigures(
            events=events,
            engine=engine,
            ingest_s=ingest_s,
            backfill_s=time.perf_counter() - began,
            peak_gib=peaks,
            peak_sum_gib=together,
        )
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _watched(home: Path, engine: str) -> tuple[tuple[tuple[str, float], ...], float]:
    """Run the backfill and look at the memory of all its processes until it ends."""
    command = [sys.executable, "-m", "headrace_orchestration.cli", "backfill", "--engine", engine]
    run = subprocess.Popen(  # noqa: S603 - our own command
        command,
        cwd=home,
        env={**os.environ, "HEADRACE_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    peaks: dict[tuple[str, int], int] = {}
    together = 0
    while run.poll() is None:
        total = 0
        for name, pid, rss in resident(run.pid):
            peaks[name, pid] = max(peaks.get((name, pid), 0), rss)
            total += rss
        together = max(together, total)
        time.sleep(_SAMPLE_S)
    if run.returncode:
        error = run.stderr.read().strip() if run.stderr else ""
        raise HeadraceError(f"the backfill failed: {error}")
    largest = sorted(((name, rss / _GIB) for (name, _), rss in peaks.items()), key=lambda p: -p[1])
    return tuple(largest[:8]), together / _GIB


def resident(root: int) -> list[tuple[str, int, int]]:
    """Name, id and resident bytes of a process and of all below it."""
    try:
        process = psutil.Process(root)
        return [
            (one.name(), one.pid, one.memory_info().rss)
            for one in (process, *process.children(recursive=True))
        ]
    except psutil.NoSuchProcess:
        # One ended between being listed and being looked at: the next look is soon.
        return []
