"""Does the tasks of a run one by one, each as the command that it is, in processes of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_orchestration.runs.graph import filled

if TYPE_CHECKING:
    from headrace_orchestration.runs.graph import Graph, Task

#: A shell's number for a process that a signal has ended is so much above that of the signal.
_SIGNALLED = 128


@dataclass(frozen=True, slots=True)
class Done:
    """A task that was done.

    Attributes:
        task: its name.
        status: with which its command ended; 0 is well.
        seconds: how long it took.
        told: the last line that it wrote.
    """

    task: str
    status: int
    seconds: float
    told: str


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
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    for task in graph.tasks:
        begun(task)
        began = clock()
        status, told = _run(filled(task.command, {"date": day.isoformat()}), log)
        yield Done(task.name, status, clock() - began, told)
        if status:
            return


def _run(arguments: list[str], log: Path) -> tuple[int, str]:
    """The status of a command, and the last line that it wrote."""
    # Its modules are those of this installation, whatever lies in the current directory.
    command = [sys.executable, "-P", "-m", "headrace_orchestration.cli", *arguments]
    with log.open("a+b") as file:
        file.write(f"$ headrace {' '.join(arguments)}\n".encode())
        file.flush()
        with subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        ) as child:
            try:
                status = child.wait()
            except KeyboardInterrupt:
                # It was told as well, and ends by itself.
                child.wait()
                raise
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return (status if status >= 0 else _SIGNALLED - status), lines[-1]
