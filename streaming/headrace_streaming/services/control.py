"""Starts, stops and looks at the embedded services."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_streaming.services import broker, flink
from headrace_streaming.services.embedded import (
    Book,
    Entry,
    Service,
    free_port,
    locked,
    read_book,
    write_book,
)
from headrace_streaming.services.health import answers
from headrace_streaming.services.processes import is_alive, start, stop

_START_TIMEOUT_S = 60.0
_POLL_S = 0.1
_PORTS = {
    Service.KAFKA: ("client", "controller"),
    Service.JOBMANAGER: ("client", "rpc", "blob"),
    Service.TASKMANAGER: (),
}
_SCRIPTS = {Service.JOBMANAGER: "jobmanager", Service.TASKMANAGER: "taskmanager"}


@dataclass(frozen=True, slots=True)
class State:
    """What a service is up to.

    Attributes:
        service: its name.
        state: `running`, `unhealthy` (its process is there but doesn't answer) or `stopped`.
        address: where it is reached; None where it is not meant to be, or never ran.
        pid: of its process.
        data: where its data and log are.
    """

    service: Service
    state: str
    address: str | None
    pid: int | None
    data: Path


def up(
    home: Path, environ: Mapping[str, str], told: Callable[[str], None] = lambda _: None
) -> list[State]:
    """Start what doesn't run and wait until everything answers.

    Args:
        home: the folder for all data.
        environ: the variables that the processes get.
        told: is told what is going on.

    Raises:
        RetryableError: another command is at it, or a service doesn't answer in time.
        ConfigurationError: a service ends at once; the message has the end of its log.
    """
    with locked(home):
        for service in Service:
            told(f"starting {service}")
            _up(home, service, environ)
        return status(home)


def down(home: Path) -> list[State]:
    """Stop everything that runs, the consumers of a service before the service."""
    with locked(home):
        book = read_book(home)
        for service in reversed(Service):
            entry = book.services.get(service)
            if entry is not None and entry.process is not None:
                stop(entry.process)
                book = book.with_entry(service, Entry(entry.ports))
                write_book(home, book)
        return status(home)


def status(home: Path) -> list[State]:
    """What every service is up to; nothing is started or changed."""
    book = read_book(home)
    return [_state(home, book, service) for service in Service]


def _state(home: Path, book: Book, service: Service) -> State:
    entry = book.services.get(service)
    data = _folder(home, service)
    if entry is None or entry.process is None or not is_alive(entry.process):
        return State(service, "stopped", None, None, data)
    healthy = answers(service, entry, book.services[Service.JOBMANAGER])
    client = entry.ports.get("client")
    return State(
        service,
        "running" if healthy else "unhealthy",
        None if client is None else f"127.0.0.1:{client}",
        entry.process.pid,
        data,
    )


def _up(home: Path, service: Service, environ: Mapping[str, str]) -> None:
    book = read_book(home)
    entry = book.services.get(service) or Entry({name: free_port() for name in _PORTS[service]})
    if entry.process is None or not is_alive(entry.process):
        folder = _folder(home, service)
        log = _log(home, service)
        if service is Service.KAFKA:
            command, variables = broker.prepare(folder, entry.ports), dict(environ)
        else:
            ports = entry.ports or book.services[Service.JOBMANAGER].ports
            flink.prepare(folder, ports)
            command = flink.command(_SCRIPTS[service])
            variables = flink.environment(folder, environ)
        process = start(command, log=log, environment=variables)
        entry = Entry(entry.ports, process)
        book = book.with_entry(service, entry)
        write_book(home, book)
    _wait(home, service, entry, book)


def _wait(home: Path, service: Service, entry: Entry, book: Book) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    flink_entry = book.services.get(Service.JOBMANAGER, entry)
    while not answers(service, entry, flink_entry):
        log = _log(home, service)
        if entry.process is None or not is_alive(entry.process):
            said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise ConfigurationError(
                f"{service} ended at once; its log ends with: {said[-1][:300]}", hint=f"see {log}"
            )
        if time.monotonic() > deadline:
            raise RetryableError(
                f"{service} does not answer after {_START_TIMEOUT_S:.0f} s", hint=f"see {log}"
            )
        time.sleep(_POLL_S)


def _folder(home: Path, service: Service) -> Path:
    return home / ("kafka" if service is Service.KAFKA else "flink")


def _log(home: Path, service: Service) -> Path:
    return home / "logs" / f"{service}.log"
