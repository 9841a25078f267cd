"""How clients reach Kafka: by the settings, or the embedded broker that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_schemas.setting_table import EMBEDDED
from headrace_streaming.services.embedded import Service, address_of

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings


def kafka_config(settings: Settings) -> dict[str, str]:
    """The properties for any client of Kafka, `bootstrap.servers` among them.

    Raises:
        RetryableError: the embedded broker is meant, and it doesn't run.
    """
    servers = settings.kafka.bootstrap_servers
    if servers == EMBEDDED:
        servers = address_of(settings.home, Service.KAFKA)
    return {**settings.kafka.options, "bootstrap.servers": servers}
