"""What is known of the embedded services: kept in a file, so that any command finds them."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path

import msgspec

from headrace_features.exclusive import exclusive
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_streaming.services.processes import Started, is_alive
from headrace_streaming.whole_file import write_whole

_HOST = "127.0.0.1"
# Below what systems give to outgoing connections, one of which could sit on the port of a service
# that is about to come back; above what is commonly served.
_PORTS = range(20_000, 32_000)


class Service(StrEnum):
    """An embedded service, by the name that people see."""

    KAFKA = "kafka"
    JOBMANAGER = "flink-jobmanager"
    TASKMANAGER = "flink-taskmanager"


class Entry(msgspec.Struct, frozen=True):
    """One service: its ports, which stay the same, and its process if it was started.

    `run` is a name for that one process, by which others may know it.
    """

    ports: dict[str, int]
    process: Started | None = None
    run: str = ""


class Book(msgspec.Struct, frozen=True):
    """All embedded services of a home folder."""

    services: dict[Service, Entry] = {}

    def with_entry(self, service: Service, entry: Entry) -> Book:
        """The book with one entry put in or replaced."""
        return Book({**self.services, service: entry})

    @property
    def ports(self) -> frozenset[int]:
        """The ports of all services, whether they run or not."""
        return frozenset(port for entry in self.services.values() for port in entry.ports.values())


def read_book(home: Path) -> Book:
    """What is written down; nothing where no service was ever started."""
    path = _file(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Book)
    except FileNotFoundError:
        return Book()
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(
            f"{path} can't be read: {error}",
            hint="stop the processes of the services by hand and remove the file",
        ) from error


def write_book(home: Path, book: Book) -> None:
    """Write the book down, whole or not at all."""
    write_whole(_file(home), msgspec.json.format(msgspec.json.encode(book)))


def locked(home: Path) -> AbstractContextManager[None]:
    """Hold the services for one command at a time.

    Raises:
        RetryableError: another command starts or stops them.
    """
    taken = RetryableError(
        f"another command starts or stops the services of {home}", hint="try again shortly"
    )
    return exclusive(home / "services.lock", taken)


def free_ports(names: Iterable[str], taken: Collection[int]) -> dict[str, int]:
    """A port on loopback for each name: all different, used by nobody and not among the taken."""
    found: dict[str, int] = {}
    for name in names:
        port = _free_port()
        while port in taken or port in found.values():
            port = _free_port()
        found[name] = port
    return found


def _free_port() -> int:
    # Random, so that several homes don't reach for the same ones.
    while not is_free(port := _PORTS.start + secrets.randbelow(len(_PORTS))):
        pass
    return port


def is_free(port: int) -> bool:
    """Whether a service could listen at a port on loopback."""
    with socket.socket() as tried:
        # As the services do: connections that have ended don't hold a port.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((_HOST, port))
        except OSError:
            return False
        return True


def address_of(home: Path, service: Service) -> str:
    """Where a running service is reached, as host:port.

    Raises:
        RetryableError: it doesn't run.
    """
    entry = read_book(home).services.get(service)
    if entry is None or entry.process is None or not is_alive(entry.process):
        raise RetryableError(f"the embedded {service} does not run", hint="run: headrace up")
    return f"{_HOST}:{entry.ports['client']}"


def _file(home: Path) -> Path:
    return home / "services.json"
