"""Starts, stops and looks at the embedded services."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from headrace_features.embedded import STREAM_SERVICES, Book, Entry, Service, read_book
from headrace_features.processes import Started, is_alive
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.setting_table import EMBEDDED
from headrace_streaming.services import broker, flink, redis
from headrace_streaming.services.embedded import free_ports, is_free, locked, write_book
from headrace_streaming.services.health import answers, speaks
from headrace_streaming.services.processes import start, stop
from headrace_streaming.writer import service as writer

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

_START_TIMEOUT_S = 60.0
_POLL_S = 0.1
_SHOWN = 300
_PORTS = {
    Service.REDIS: ("client",),
    Service.KAFKA: ("client", "controller"),
    Service.JOBMANAGER: ("client", "rpc", "blob"),
    Service.TASKMANAGER: (),
    Service.WRITER: (),
}


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
    home: Path,
    environ: Mapping[str, str],
    told: Callable[[str], None] = lambda _: None,
    conf: Mapping[str, str] = MappingProxyType({}),
    wanted: Collection[Service] = STREAM_SERVICES,
) -> list[State]:
    """Start what is wanted and doesn't run, and wait until all of that answers.

    Args:
        home: the folder for all data.
        environ: the variables that the processes get.
        told: is told what is going on.
        conf: further options of Flink.
        wanted: the services that are to run.

    Raises:
        RetryableError: another command is at it, a service's port is taken, or it doesn't
            answer in time.
        ConfigurationError: what a service needs is not installed, or it ends at once; the message
            has the end of its log.
    """
    with locked(home):
        # All at once: each takes seconds before it answers.
        started = set()
        services = [service for service in Service if service in wanted]
        for service in services:
            if not _runs(home, service):
                told(f"starting {service}")
                _start(home, service, environ, conf)
                started.add(service)
        for service in services:
            told(f"waiting for {service}")
            if not _comes(home, service):
                if service in started:
                    raise _ended(home, service)
                # It was about to end when it was found.
                _start(home, service, environ, conf)
                if not _comes(home, service):
                    raise _ended(home, service)
        return status(home, wanted)


def down(home: Path, wanted: Collection[Service] = STREAM_SERVICES) -> list[State]:
    """Stop everything that runs, the consumers of a service before the service."""
    with locked(home):
        book = read_book(home)
        for service in reversed(Service):
            entry = book.services.get(service)
            if entry is not None and entry.process is not None:
                stop(entry.process)
                book = book.with_entry(service, Entry(entry.ports))
                write_book(home, book)
        flink.clear(_folder(home, Service.JOBMANAGER))
        return status(home, wanted)


def halt(home: Path, service: Service) -> bool:
    """Stop one service; whether it ran."""
    with locked(home):
        book = read_book(home)
        entry = book.services.get(service)
        if entry is None or entry.process is None or not is_alive(entry.process):
            return False
        stop(entry.process)
        write_book(home, book.with_entry(service, Entry(entry.ports)))
        return True


def status(home: Path, wanted: Collection[Service] = STREAM_SERVICES) -> list[State]:
    """What every service that is wanted, or ever ran, is up to; nothing is started or changed."""
    book = read_book(home)
    shown = {*wanted, *book.services}
    return [_state(home, book, service) for service in Service if service in shown]


def _state(home: Path, book: Book, service: Service) -> State:
    entry = book.services.get(service)
    data = _folder(home, service)
    if entry is None or entry.process is None or not is_alive(entry.process):
        return State(service, "stopped", None, None, data)
    healthy = answers(service, home)
    client = entry.ports.get("client")
    return State(
        service,
        "running" if healthy else "unhealthy",
        None if client is None else f"127.0.0.1:{client}",
        entry.process.pid,
        data,
    )


def _start(
    home: Path, service: Service, environ: Mapping[str, str], conf: Mapping[str, str]
) -> None:
    book = read_book(home)
    entry = book.services.get(service) or Entry(free_ports(_PORTS[service], book.ports))
    for name, port in entry.ports.items():
        if not is_free(port):
            raise RetryableError(
                f"port {port} on 127.0.0.1, the {name} port of {service}, is taken by another"
                " process",
                hint=f"end that one; or headrace down, and remove {home / 'services.json'}"
                " to have other ports chosen",
            )
    folder, run = _folder(home, service), f"{service}-{uuid.uuid4()}"
    if service is Service.REDIS:
        command, variables = redis.prepare(folder, entry.ports, environ), dict(environ)
    elif service is Service.KAFKA:
        command, variables = broker.prepare(folder, entry.ports, environ), dict(environ)
    elif service is Service.WRITER:
        command, variables = writer.command(), dict(environ)
    else:
        flink.prepare(folder, entry.ports or book.services[Service.JOBMANAGER].ports, conf)
        command = flink.jobmanager() if service is Service.JOBMANAGER else flink.taskmanager(run)
        variables = flink.environment(folder, environ)

    def note(process: Started) -> None:
        write_book(home, book.with_entry(service, Entry(entry.ports, process, run)))

    log = _log(home, service)
    if log.exists():
        # What the last run said is kept; a log that is only ever appended to fills the disk.
        log.replace(log.with_name(f"{log.name}.1"))
    start(command, log=log, environment=variables, note=note)


def _comes(home: Path, service: Service) -> bool:
    """Wait until a service answers; whether its process lives to do so."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while _runs(home, service):
        # One that has just been killed may seem to answer.
        came = speaks(home) if service is Service.WRITER else answers(service, home)
        if came and _runs(home, service):
            return True
        if time.monotonic() > deadline:
            raise RetryableError(
                f"{service} does not answer after {_START_TIMEOUT_S:.0f} s",
                hint=f"see {_log(home, service)}",
            )
        time.sleep(_POLL_S)
    return False


def _runs(home: Path, service: Service) -> bool:
    entry = read_book(home).services.get(service)
    return entry is not None and entry.process is not None and is_alive(entry.process)


def _ended(home: Path, service: Service) -> ConfigurationError:
    log = _log(home, service)
    said = last_words(log.read_text(errors="replace"))
    return ConfigurationError(
        f"{service} ended at once; its log ends with: {said}", hint=f"see {log}"
    )


def was_started(home: Path, service: Service) -> bool:
    """Whether a service of a home has ever been started."""
    return _folder(home, service).exists()


def has_no_broker(settings: Settings) -> bool:
    """Whether the broker is the embedded one, and never ran."""
    embedded = settings.kafka.bootstrap_servers == EMBEDDED
    return embedded and not was_started(settings.home, Service.KAFKA)


def last_words(log: str) -> str:
    """The last line of a log that tells something: none of a Java stack trace's places."""
    for line in reversed(log.splitlines()):
        if line.strip() and not line.lstrip().startswith(("at ", "... ")):
            return line.strip()[:_SHOWN]
    return "nothing"


def _folder(home: Path, service: Service) -> Path:
    return home / service.partition("-")[0]


def _log(home: Path, service: Service) -> Path:
    return home / "logs" / f"{service}.log"
