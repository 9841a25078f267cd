"""How long topics that are there already keep their records: longer, once windows reach further."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.topics import Topic

if TYPE_CHECKING:
    from confluent_kafka.admin import (  # type: ignore[attr-defined] # they are
        AdminClient,
        ConfigEntry,
    )

_TIMEOUT_S = 10.0
_RETENTION = "retention.ms"


def keep_longer(admin: AdminClient, topics: Sequence[Topic]) -> list[str]:
    """Have topics keep their records as long as they need to; none keeps them shorter than before.

    Returns:
        The names of those that were changed.

    Raises:
        ConfigurationError: the broker doesn't let it be changed.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined] # it is

    resources = {topic.name: ConfigResource("topic", topic.name) for topic in topics}
    if not resources:
        return []
    told = admin.describe_configs(list(resources.values()), request_timeout=_TIMEOUT_S)
    changed = []
    for topic in topics:
        try:
            held = told[resources[topic.name]].result()
            if not _is_shorter(int(held[_RETENTION].value), topic.retention_ms):
                continue
            wanted = ConfigResource("topic", topic.name, incremental_configs=_entries(topic))
            for done in admin.incremental_alter_configs([wanted]).values():
                done.result(_TIMEOUT_S)
        except KafkaException as error:
            raise ConfigurationError(
                f"topic {topic.name} has to keep its records longer, and can't be changed:"
                f" {error.args[0].str()}",
                hint=f"set its {_RETENTION} to {topic.retention_ms}",
            ) from error
        changed.append(topic.name)
    return changed


def _is_shorter(held_ms: int, wanted_ms: int) -> bool:
    """Whether one retention is shorter than another; -1 is for ever."""
    return held_ms >= 0 and (wanted_ms < 0 or held_ms < wanted_ms)


def _entries(topic: Topic) -> list[ConfigEntry]:
    from confluent_kafka.admin import (  # type: ignore[attr-defined] # they are
        AlterConfigOpType,
        ConfigEntry,
    )

    names = (_RETENTION, "cleanup.policy")
    return [
        ConfigEntry(name, topic.config[name], incremental_operation=AlterConfigOpType.SET)
        for name in names
        if name in topic.config
    ]
