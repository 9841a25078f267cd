"""The writer that `headrace up` runs: `python -m headrace_streaming.writer.service`.

It takes the project of the current directory, as every command does.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event

from headrace_features.project import load_project
from headrace_schemas.errors import HeadraceError
from headrace_schemas.settings import load
from headrace_streaming.writer.run import run_writer
from headrace_streaming.writer.status import write_status


def command() -> list[str]:
    """The command that runs it."""
    return [sys.executable, "-m", "headrace_streaming.writer.service"]


def main() -> None:
    """Write until a signal ends it."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load(Path.cwd(), os.environ)
        project = load_project(settings)
        say(f"the updates of {project.name} go to the online store")
        done = run_writer(settings, project, stop, say, shown=partial(write_status, settings.home))
        say(f"ended; {done.updates:,} updates written, {done.refused:,} of them refused")
    except HeadraceError as error:
        say(f"headrace: {error}")
        sys.exit(error.exit_code)


def say(line: str) -> None:
    """Put a line into the log."""
    sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
