"""How far the watermark of a job in ordered mode has come, by the decisions that it has made.

There an event waits until the watermark has passed the time at which it could be known. When a
decision is committed, it has passed that of the decided event in every stage, and what was made of
all events that could be known by then is in the topic of updates; later ones of such wait no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_features.decisions import decisions_of
from headrace_features.online.served import view_key
from headrace_schemas.topics import DECISIONS, topic_apart
from headrace_streaming.kafka.reading import ends, records_now

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_streaming.kafka.epochs import Deployed

#: How far back the newest decision is looked for: the topic has markers of transactions, and the
#: decisions of other projects.
_BACK = 1_000


class _Made(msgspec.Struct):
    project: str
    decision: str
    epoch: int
    event: dict[str, Any]


_DECODER = msgspec.json.Decoder(_Made)


def watermarks(config: Mapping[str, str], project: Project, deployed: Deployed) -> dict[str, int]:
    """By the key of a view a time that the watermark has reached in its stage, ms UTC.

    Args:
        config: of Kafka's clients.
        project: whose views.
        deployed: the deployment; views of which it has decided nothing lately are left out.

    Raises:
        ConfigurationError: there is no topic of decisions.
        RetryableError: the broker doesn't answer.
    """
    newest = _newest(config, project, deployed)
    found: dict[str, int] = {}
    for one in decisions_of(project):
        for view in one.views:
            passed_ms = newest.get(one.name, 0)
            found[view_key(view)] = min(found.get(view_key(view), passed_ms), passed_ms)
    return {key: passed_ms for key, passed_ms in found.items() if passed_ms}


def _newest(config: Mapping[str, str], project: Project, deployed: Deployed) -> dict[str, int]:
    """By the name of a decision when the newest of its events could be known."""
    columns = {
        one.name: one.source.available_at or one.source.event_time for one in decisions_of(project)
    }
    topic = (
        DECISIONS if deployed.told.live else topic_apart(DECISIONS, project.name, project.namespace)
    )
    starts = {
        partition: max(first, end - _BACK)
        for partition, (first, end) in ends(config, topic).items()
    }
    found: dict[str, int] = {}
    for batch in records_now(config, topic, starts=starts):
        for message in batch:
            try:
                made = _DECODER.decode(message.value() or b"")
            except msgspec.DecodeError:
                # Somebody else's.
                continue
            known_ms = made.event.get(columns.get(made.decision, ""))
            ours = (made.project, made.epoch) == (project.name, deployed.epoch)
            if ours and isinstance(known_ms, int):
                found[made.decision] = max(found.get(made.decision, 0), known_ms)
    return found
