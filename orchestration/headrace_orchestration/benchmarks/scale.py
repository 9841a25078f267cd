"""`bench scale`: ingest, the first layer and a daily increment, as the number of events grows.

Each step is a command of its own, as users run it, so that its memory is that of the step alone.
Its time is what it says itself: the start of a process costs the same at any size.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from headrace_orchestration.benchmarks.memory import resident
from headrace_orchestration.benchmarks.skewed_activity import DEFINITIONS, FIRST, write_days
from headrace_schemas.errors import HeadraceError

_GIB = 1024**3
_SAMPLE_S = 0.1
#: There may be one user for so many events.
_EVENTS_PER_USER = 10
_PROJECT = """\
home = "."
[project]
name = "scale"
definitions = ["scale_definitions"]
"""
#: The windows that one day's increment is measured with, each beside the first.
WINDOWS = ("1d", "7d", "90d")


@dataclass(frozen=True, slots=True)
class ScaleFigures:
    """What was measured at one size.

    Attributes:
        events: in the lake, over all days.
        days: how many.
        engine: which one materialized.
        entities: with state.
        ingest_s: all events but those of the last day, from Parquet files.
        backfill_s: the tiles of all days but the last, and the first batch layer.
        increment_events: of the last day.
        increment_s: its tiles, and the layer brought up to it.
        backfill_us, increment_us: microseconds for each event.
        peak_rss_gib: the most memory of a process, whichever step it was, workers of an engine
            and its JVM included.
        lake_bytes, tile_bytes, store_bytes: on disk, for each event.
    """

    events: int
    days: int
    engine: str
    entities: int
    ingest_s: float
    backfill_s: float
    increment_events: int
    increment_s: float
    backfill_us: float
    increment_us: float
    peak_rss_gib: float
    lake_bytes: float
    tile_bytes: float
    store_bytes: float


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """What one day's increment takes with windows of different lengths.

    Attributes:
        events: in the lake, over all days.
        days: how many, at least as many as the longest window has.
        increment_events: of the last day.
        increment_s: by window.
        ratio: by window, to the shortest one.
    """

    events: int
    days: int
    increment_events: int
    increment_s: dict[str, float]
    ratio: dict[str, float]


def measure(
    home: Path, events: int, days: int, engine: str, advance: Callable[[str], None]
) -> ScaleFigures:
    """Generate events, and take them through all steps in a folder of its own.

    Args:
        home: in which folder.
        events: how many.
        days: over how many days.
        engine: which one materializes, local or spark.
        advance: is told what goes on.

    Raises:
        HeadraceError: a step failed.
    """
    view = 'lately = view("lately", "1d", "7d", "30d")\n'
    with _Bench(home, events, days, view, engine, advance) as bench:
        ingest_s = bench.ingest("before")
        backfill = bench.materialize("lately", days - 2)
        bench.ingest("last")
        increment = bench.materialize("lately", days - 1)
        count = increment["events"]
        return ScaleFigures(
            events=events,
            days=days,
            engine=engine,
            entities=backfill["entities"],
            ingest_s=ingest_s,
            backfill_s=backfill["seconds"],
            increment_events=count,
            increment_s=increment["seconds"],
            backfill_us=backfill["seconds"] / backfill["tiled"] * 1e6,
            increment_us=increment["seconds"] / count * 1e6,
            peak_rss_gib=bench.peak_rss_gib,
            lake_bytes=bench.bytes_of("warehouse/bronze") / events,
            tile_bytes=bench.bytes_of("warehouse/tiles") / events,
            store_bytes=bench.bytes_of("online.db") / events,
        )


def measure_windows(  # noqa: PLR0913, PLR0917 - what is measured
    home: Path, events: int, days: int, repeat: int, engine: str, advance: Callable[[str], None]
) -> WindowFigures:
    """Measure one day's increment with windows of different lengths, in turn.

    Args:
        home: in which folder.
        events: how many, over all days.
        days: how many there are; the last ones are measured.
        repeat: how many of them.
        engine: which one materializes, local or spark.
        advance: is told what goes on.

    Raises:
        HeadraceError: a step failed.
    """
    names = {window: f"of_{window}" for window in WINDOWS}
    views = "".join(f'{name} = view("{name}", "{window}")\n' for window, name in names.items())
    with _Bench(home, events, days, views, engine, advance) as bench:
        bench.ingest("before")
        bench.ingest("last")
        seconds: dict[str, list[float]] = {window: [] for window in WINDOWS}
        counts: list[int] = []
        for day in range(days - repeat - 1, days):
            for window, name in names.items():
                report = bench.materialize(name, day)
                if not report["anew"]:
                    seconds[window].append(report["seconds"])
                    counts.append(report["events"])
        best = {window: sorted(some)[len(some) // 2] for window, some in seconds.items()}
        return WindowFigures(
            events=events,
            days=days,
            increment_events=max(counts),
            increment_s=best,
            ratio={window: one / best[WINDOWS[0]] for window, one in best.items()},
        )


class _Bench:
    """A project in a folder of its own, with generated events.

    Attributes:
        peak_rss_gib: the most memory of a step so far.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - see `measure`
        self,
        home: Path,
        events: int,
        days: int,
        views: str,
        engine: str,
        advance: Callable[[str], None],
    ) -> None:
        self._events, self._days = events, days
        self._views, self._engine = views, engine
        self._advance = advance
        self.peak_rss_gib = 0.0
        home.mkdir(parents=True, exist_ok=True)
        self._home = Path(tempfile.mkdtemp(prefix="bench-", dir=home))

    def __enter__(self) -> Self:
        self._advance(f"generate {self._events:,} events")
        (self._home / "headrace.toml").write_text(_PROJECT, encoding="utf-8")
        definitions = self._home / "scale_definitions.py"
        definitions.write_text(DEFINITIONS + self._views, encoding="utf-8")
        users = max(1_000, self._events // _EVENTS_PER_USER)
        before = self._events * (self._days - 1) // self._days
        write_days(self._home / "before", before, users, FIRST, self._days - 1)
        last = FIRST + timedelta(self._days - 1)
        write_days(self._home / "last", self._events - before, users, last, 1)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._home, ignore_errors=True)

    def ingest(self, folder: str) -> float:
        """Take the events of a folder into the lake; the seconds that it took."""
        self._advance(f"ingest {self._events:,} events")
        report = self._run("ingest", "--file", str(self._home / folder), "--json")
        shutil.rmtree(self._home / folder)
        return float(report["seconds"])

    def materialize(self, view: str, day: int) -> Any:
        """Bring a view up to the end of a day; what the command reports."""
        self._advance(f"materialize {view} of {self._events:,} events, day {day + 1}")
        date = FIRST + timedelta(day)
        chosen = ("--view", view, "--date", str(date), "--engine", self._engine)
        return self._run("materialize", *chosen, "--json")[0]

    def bytes_of(self, name: str) -> int:
        """How much is on disk under a name."""
        place = self._home / name
        files = [place] if place.is_file() else place.rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())

    def _run(self, *arguments: str) -> Any:
        code = "from headrace_orchestration.cli import main; main()"
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            # A project of its own, whatever the settings around it say.
            environ = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
            child = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, "-c", code, *arguments],
                cwd=self._home,
                env=environ,
                stdout=out,
                stderr=err,
            )
            while True:
                # What an engine has started is looked at now and then.
                most = max((rss for _, _, rss in resident(child.pid)), default=0)
                number, status, usage = os.wait4(child.pid, os.WNOHANG)
                # Kilobytes, but bytes on a Mac.
                unit = 1 if sys.platform == "darwin" else 1024
                most = max(most, usage.ru_maxrss * unit)
                self.peak_rss_gib = max(self.peak_rss_gib, most / _GIB)
                if number:
                    break
                time.sleep(_SAMPLE_S)
            child.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            if child.returncode:
                raise HeadraceError(err.read().decode().strip())
            return json.loads(out.read())
