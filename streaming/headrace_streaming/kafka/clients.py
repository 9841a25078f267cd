"""How clients reach Kafka: by the settings, or the embedded broker that runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from headrace_schemas.errors import RetryableError
from headrace_schemas.setting_table import EMBEDDED
from headrace_streaming.services.embedded import Service, address_of

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings


def unreachable(config: Mapping[str, str]) -> RetryableError:
    """The error for a broker that doesn't answer."""
    return RetryableError(
        f"no Kafka broker answers at {config['bootstrap.servers']}",
        hint="see [kafka] bootstrap_servers; the embedded one: headrace status, headrace up",
    )


def kafka_config(settings: Settings) -> dict[str, str]:
    """The properties for any client of Kafka, `bootstrap.servers` among them.

    Raises:
        RetryableError: the embedded broker is meant, and it doesn't run.
    """
    servers = settings.kafka.bootstrap_servers
    if servers == EMBEDDED:
        servers = address_of(settings.home, Service.KAFKA)
    return {**settings.kafka.options, "bootstrap.servers": servers}
