"""Whether an embedded service answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from headrace_streaming.services.embedded import Book, Service

_TIMEOUT_S = 2.0


def answers(service: Service, book: Book) -> bool:
    """Whether a service does its work, not only whether its process is there.

    A TaskManager has no address of its own: the JobManager knows whether it came.
    """
    asked = Service.JOBMANAGER if service is Service.TASKMANAGER else service
    address = f"127.0.0.1:{book.services[asked].ports['client']}"
    if service is Service.KAFKA:
        return _broker(address)
    overview = _overview(address)
    if service is Service.JOBMANAGER:
        return overview is not None
    return overview is not None and overview.get("taskmanagers", 0) > 0


def _broker(address: str) -> bool:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # Nobody reads what the library would say while the broker comes up.
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=_TIMEOUT_S).brokers)
    except KafkaException:
        return False


def _overview(address: str) -> dict[str, int] | None:
    try:
        with urllib.request.urlopen(f"http://{address}/overview", timeout=_TIMEOUT_S) as answer:
            overview: dict[str, int] = json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return overview
