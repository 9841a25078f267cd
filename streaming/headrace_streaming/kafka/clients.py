"""How clients reach Kafka: by the settings, or the embedded broker that runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headrace_features.embedded import Service, address_of
from headrace_schemas.kafka_clients import java_properties
from headrace_schemas.setting_table import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace_schemas.settings import Settings

#: Where Flink's connector has Kafka's classes.
_IN_CONNECTOR = "org.apache.flink.kafka.shaded.org.apache.kafka"


def kafka_config(settings: Settings) -> dict[str, str]:
    """The properties for any client of Kafka, `bootstrap.servers` among them.

    Raises:
        RetryableError: the embedded broker is meant, and it doesn't run.
    """
    servers = settings.kafka.bootstrap_servers
    if servers == EMBEDDED:
        servers = address_of(settings.home, Service.KAFKA)
    return {**settings.kafka.options, "bootstrap.servers": servers}


def connector_properties(config: Mapping[str, str]) -> dict[str, str]:
    """The same properties as Flink's connector takes them.

    Raises:
        ConfigurationError: a file that they name can't be read, or users can't log in that way.
    """
    return java_properties(
        config, lambda path: Path(path).read_text(encoding="ascii"), _IN_CONNECTOR
    )
