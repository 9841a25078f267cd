"""Whether an embedded service answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from headrace_streaming.services.embedded import Entry, Service

_TIMEOUT_S = 2.0


def answers(service: Service, entry: Entry, flink: Entry) -> bool:
    """Whether a service does its work, not only whether its process is there.

    Args:
        service: which one.
        entry: what is known of it.
        flink: what is known of the JobManager, which knows its TaskManagers.
    """
    if service is Service.KAFKA:
        return _broker(f"127.0.0.1:{entry.ports['client']}")
    overview = _overview(f"127.0.0.1:{flink.ports['client']}")
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
