"""Programs of tests in processes of their own, to be killed at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from conftest import SPARK

#: For a program that is killed with all that it has started, before or after the n-th call of a
#: function of a module or a class.
DIE_IN = """
import os, signal

def die_in(owner, name, moment, calls):
    real = getattr(owner, name)
    left = [calls]
    def wrapped(*arguments, **options):
        left[0] -= 1
        if left[0] == 0 and moment == "before":
            os.killpg(0, signal.SIGKILL)
        result = real(*arguments, **options)
        if left[0] == 0 and moment == "after":
            os.killpg(0, signal.SIGKILL)
        return result
    setattr(owner, name, wrapped)
"""


@contextmanager
def started(
    program: str, *arguments: object, stdout: int | None = None, stderr: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A program of Python and all processes that it starts, which are gone afterwards.

    Args:
        program: its text.
        arguments: what it is told.
        stdout, stderr: what becomes of its output and errors, as `Popen` takes it.
    """
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, **SPARK},
        stdout=stdout,
        stderr=stderr,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
