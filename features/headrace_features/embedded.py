"""The embedded services: which there are, what is written down of them, where they are reached.

`headrace up` writes the file; whoever needs a service reads it.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headrace_features.processes import Started, is_alive
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.setting_table import EMBEDDED

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

HOST = "127.0.0.1"


class Service(StrEnum):
    """An embedded service, by the name that people see; what uses another comes after it."""

    REDIS = "redis"
    KAFKA = "kafka"
    JOBMANAGER = "flink-jobmanager"
    TASKMANAGER = "flink-taskmanager"
    WRITER = "writer"


#: What a stream needs, whatever the online store is.
STREAM_SERVICES = (Service.KAFKA, Service.JOBMANAGER, Service.TASKMANAGER)


def wanted_services(settings: Settings) -> tuple[Service, ...]:
    """The services that a project is to have.

    Those of a stream, the writer of its updates, and Redis where that is the online store.
    """
    redis = settings.online.type == "redis" and settings.online.redis_url == EMBEDDED
    stream = (*STREAM_SERVICES, Service.WRITER)
    return (Service.REDIS, *stream) if redis else stream


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
    path = book_file(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Book)
    except FileNotFoundError:
        return Book()
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(
            f"{path} can't be read: {error}",
            hint="stop the processes of the services by hand and remove the file",
        ) from error


def address_of(home: Path, service: Service) -> str:
    """Where a running service is reached, as host:port.

    Raises:
        RetryableError: it doesn't run.
    """
    entry = read_book(home).services.get(service)
    if entry is None or entry.process is None or not is_alive(entry.process):
        raise _down(service)
    return _address(entry)


def noted_address(home: Path, service: Service) -> str:
    """Where a service is reached whenever it runs, as host:port: it keeps its ports.

    Raises:
        RetryableError: it was never started.
    """
    entry = read_book(home).services.get(service)
    if entry is None:
        raise _down(service)
    return _address(entry)


def _address(entry: Entry) -> str:
    return f"{HOST}:{entry.ports['client']}"


def _down(service: Service) -> RetryableError:
    return RetryableError(f"the embedded {service} does not run", hint="run: headrace up")


def book_file(home: Path) -> Path:
    """Where a home has what is written down of its services."""
    return home / "services.json"
