"""What commands that start and stop embedded services need: their file, a lock, and free ports."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from headrace_features.embedded import HOST, Book, book_file
from headrace_features.exclusive import exclusive
from headrace_schemas.errors import RetryableError
from headrace_streaming.whole_file import write_whole

# Below what systems give to outgoing connections, one of which could sit on the port of a service
# that is about to come back; above what is commonly served.
_PORTS = range(20_000, 32_000)


def write_book(home: Path, book: Book) -> None:
    """Write the book down, whole or not at all."""
    write_whole(book_file(home), msgspec.json.format(msgspec.json.encode(book)))


def locked(home: Path) -> AbstractContextManager[int]:
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
            tried.bind((HOST, port))
        except OSError:
            return False
        return True
