"""The writer that `headrace up` runs: `python -m headrace_streaming.writer.service`.

It takes the project of the current directory, as every command does. With `--namespace` it is one
of those that it starts itself, and ends with it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread

from headrace_features.online.live import live_project, project_in
from headrace_features.online.stores import open_store
from headrace_features.online.versions import read_versions
from headrace_features.project import load_project
from headrace_schemas.errors import HeadraceError
from headrace_schemas.settings import load
from headrace_streaming.writer.others import NAMESPACE, other_writers
from headrace_streaming.writer.run import run_writer
from headrace_streaming.writer.status import write_status

_LOOK_S = 1.0


def command() -> list[str]:
    """The command that runs it."""
    return [sys.executable, "-m", "headrace_streaming.writer.service"]


def main() -> None:
    """Write until a signal ends it."""
    parser = argparse.ArgumentParser(description="Write the stream's updates.")
    parser.add_argument(NAMESPACE, help="of the updates; default: the one that is served")
    namespace = parser.parse_args().namespace
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load(Path.cwd(), os.environ)
        declared = load_project(settings)
        if namespace is None:
            project = live_project(settings, declared)
            others: AbstractContextManager[None] = other_writers(settings, project.namespace, say)
        else:
            _, versions = read_versions(open_store(settings))
            project = project_in(versions, namespace, declared)
            others = _with_parent(stop)
        say(f"the updates of {project.full_name} go to the online store")
        shown = partial(write_status, settings.home, namespace or "")
        with others:
            done = run_writer(settings, project, stop, say, shown=shown)
        say(f"ended; {done.updates:,} updates written, {done.refused:,} of them refused")
    except HeadraceError as error:
        say(f"headrace: {error}")
        sys.exit(error.exit_code)


@contextmanager
def _with_parent(stop: Event) -> Iterator[None]:
    """Stop when the process that started this one has ended, however it did."""
    parent, ended = os.getppid(), Event()

    def watch() -> None:
        while not ended.wait(_LOOK_S):
            if os.getppid() != parent:
                stop.set()

    beside = Thread(target=watch, name="parent")
    beside.start()
    try:
        yield
    finally:
        ended.set()
        beside.join()


def say(line: str) -> None:
    """Put a line into the log."""
    sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
