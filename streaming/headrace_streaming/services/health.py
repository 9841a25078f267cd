"""Whether an embedded service answers."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path

from headrace_features.embedded import HOST, Service, read_book
from headrace_streaming.writer.status import WriterStatus, read_status

_TIMEOUT_S = 2.0


def answers(service: Service, home: Path) -> bool:
    """Whether a service does its work, not only whether its process is there.

    A TaskManager has no address of its own: the JobManager knows whether it came. It knows one
    that was killed for a while longer, so that it is asked for the one that runs now.
    """
    book = read_book(home)
    entry = book.services[service]
    if service is Service.REDIS:
        return _redis(entry.ports["client"])
    if service is Service.KAFKA:
        return _broker(f"127.0.0.1:{entry.ports['client']}")
    if service is Service.WRITER:
        told = _of_writer(home)
        return told is not None and told.problem is None
    came = _taskmanagers(f"127.0.0.1:{book.services[Service.JOBMANAGER].ports['client']}")
    if came is None:
        return False
    return service is Service.JOBMANAGER or entry.run in came


def speaks(home: Path) -> bool:
    """Whether the writer is at work; what it needs may be away."""
    return _of_writer(home) is not None


def _of_writer(home: Path) -> WriterStatus | None:
    """What the writer that runs has told of late; None if nothing."""
    process, told = read_book(home).services[Service.WRITER].process, read_status(home)
    if process is None or told is None or told.pid != process.pid:
        return None
    return told if told.is_fresh else None


def _redis(port: int) -> bool:
    # By hand: its client comes with another extra. It says LOADING until it has all its data.
    try:
        with socket.create_connection((HOST, port), timeout=_TIMEOUT_S) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _broker(address: str) -> bool:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # Nobody reads what the library would say while the broker comes up.
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=_TIMEOUT_S).brokers)
    except KafkaException:
        return False


def _taskmanagers(address: str) -> list[str] | None:
    """The TaskManagers that a JobManager knows; None if it doesn't answer."""
    try:
        with urllib.request.urlopen(f"http://{address}/taskmanagers", timeout=_TIMEOUT_S) as answer:
            return [one["id"] for one in json.load(answer)["taskmanagers"]]
    except (OSError, ValueError, LookupError):
        return None
