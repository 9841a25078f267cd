"""Writers of the other namespaces of a project, each in a process of its own.

What is replayed fills its namespace with millions of updates: in one process with the writer of
what is served they would hold that one up.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from headrace_features.online.stores import open_store
from headrace_features.online.versions import read_versions
from headrace_schemas.errors import HeadraceError

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

_LOOK_S = 1.0
_END_S = 10.0
#: The option by which a process is told whose updates it writes.
NAMESPACE = "--namespace"


@contextmanager
def other_writers(settings: Settings, own: str, told: Callable[[str], None]) -> Iterator[None]:
    """Have the updates of all namespaces but one written while the block runs.

    Args:
        settings: which store.
        own: the namespace that is left out.
        told: takes news, a line each.
    """
    ended = Event()
    beside = Thread(target=_attend, args=(settings, own, told, ended), name="other writers")
    beside.start()
    try:
        yield
    finally:
        ended.set()
        beside.join()


def _attend(settings: Settings, own: str, told: Callable[[str], None], ended: Event) -> None:
    running: dict[str, subprocess.Popen[bytes]] = {}
    wanted: set[str] = set()
    store = open_store(settings)
    try:
        while not ended.wait(_LOOK_S):
            try:
                wanted = {*read_versions(store)[1].namespaces} - {own}
            except HeadraceError:
                # The store is away, as the writers find too: they go on as they are.
                continue
            for namespace in [one for one in running if one not in wanted]:
                told(f"the updates of {namespace} are written no more: it is gone")
                _end(running.pop(namespace))
            for namespace in sorted(wanted):
                process = running.get(namespace)
                if process is None or process.poll() is not None:
                    running[namespace] = _start(namespace)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            _end(process)


def _start(namespace: str) -> subprocess.Popen[bytes]:
    module = "headrace_streaming.writer.service"
    return subprocess.Popen([sys.executable, "-m", module, NAMESPACE, namespace])  # noqa: S603 - a module of ours


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
