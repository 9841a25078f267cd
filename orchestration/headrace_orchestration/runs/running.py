"""Does the tasks of a run one by one, each as the command that it is, in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace_orchestration.runs.graph import filled

if TYPE_CHECKING:
    from headrace_orchestration.runs.graph import Graph, Task

#: A shell's number for a process that a signal has ended is so much above that of the signal.
_SIGNALLED = 128
_INTERRUPTED = _SIGNALLED + signal.SIGINT
#: The command that takes events in; how many it sets aside stands in its report.
_INGEST = "ingest"


@dataclass(frozen=True, slots=True)
class Done:
    """A task that was done.

    Attributes:
        task: its name.
        status: with which its command ended; 0 is well.
        seconds: how long it took.
        told: the line of its error; "" where there is none.
        set_aside: how many rows were rejected into quarantine, by their first reason: those of its
            files, by it or when they came before; or those of its topic.
        topic: the topic that these came from, "" of files. An ingest reads a record but once: they
            are of what has come since the one before, of whatever day.
        ignored_columns: columns of its files that its source doesn't have.
    """

    task: str
    status: int
    seconds: float
    told: str
    set_aside: Mapping[str, int]
    topic: str
    ignored_columns: tuple[str, ...]


def done_one_by_one(
    graph: Graph,
    day: date,
    log: Path,
    begun: Callable[[Task], None],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Done]:
    """Do the tasks of a day in order, up to the first that fails.

    Args:
        graph: the run.
        day: whose.
        log: where what they write is added.
        begun: is told of each that begins.
        clock: seconds that never go back.

    Raises:
        KeyboardInterrupt: somebody has ended the run, or the task that was at work.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    for task in graph.tasks:
        begun(task)
        began = clock()
        arguments = filled(task.command, {"date": day.isoformat()})
        takes_in = arguments[0] == _INGEST
        status, report, lines = _run([*arguments, "--json"] if takes_in else arguments, log)
        if status == _INTERRUPTED:
            raise KeyboardInterrupt
        sources = json.loads(report)["sources"] if takes_in and report else []
        yield Done(
            task=task.name,
            status=status,
            seconds=clock() - began,
            told=_error(status, lines),
            set_aside=_set_aside(sources),
            topic=next((one["topic"] for one in sources if "topic" in one), ""),
            ignored_columns=tuple(
                column for one in sources for column in one.get("ignored_columns", ())
            ),
        )
        if status:
            return


def _run(arguments: list[str], log: Path) -> tuple[int, str, list[str]]:
    """The status of a command, its output, and the lines of its errors; all of it is logged."""
    # Its modules are those of this installation, whatever lies in the current directory.
    command = [sys.executable, "-P", "-m", "headrace_orchestration.cli", *arguments]
    with log.open("a+b") as file, tempfile.TemporaryFile() as out:
        file.write(f"$ headrace {' '.join(arguments)}\n".encode())
        file.flush()
        began = file.seek(0, os.SEEK_END)
        with subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=file
        ) as child:
            try:
                status = child.wait()
            except KeyboardInterrupt:
                # It was told as well, and ends by itself.
                child.wait()
                raise
        file.seek(began)
        lines = file.read().decode(errors="replace").splitlines()
        out.seek(0)
        told = out.read()
        file.write(told)
    return (status if status >= 0 else _SIGNALLED - status), told.decode(errors="replace"), lines


def _error(status: int, lines: Sequence[str]) -> str:
    """What a command said of its error last; what ended it, where it couldn't say anything."""
    if not status:
        return ""
    if status > _SIGNALLED:
        return f"it was ended by the signal {signal.Signals(status - _SIGNALLED).name}"
    return lines[-1] if lines else f"it ended with status {status}"


def _set_aside(sources: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many rows an ingest or one before it has rejected, by its reports on sources."""
    found: Counter[str] = Counter()
    for source in sources:
        found.update(source["rejected"])
        found.update(source.get("already_rejected", {}))
    return dict(found.most_common())
