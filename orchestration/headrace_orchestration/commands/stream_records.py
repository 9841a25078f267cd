"""`headrace stream decisions` and `alerts`: what the stream job has said of events."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_orchestration.output import JsonOption, console, print_json
from headrace_orchestration.session import current_project

if TYPE_CHECKING:
    from confluent_kafka import Message

    from headrace_features.project import Project

#: What a decision or alert has at least.
_ALWAYS = {"id", "project", "decision", "event_time", "flagged", "rules"}

Limit = Annotated[int, typer.Option(min=1, help="How many of the newest.")]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on with those to come; Ctrl-C ends it.")
]
Id = Annotated[
    str | None, typer.Option("--id", help="Only of the event with this id, with all values.")
]
Flagged = Annotated[bool, typer.Option("--flagged", help="Only of events that a rule flags.")]


def decisions(
    limit: Limit = 20,
    flagged: Flagged = False,
    event: Id = None,
    follow: Follow = False,
    as_json: JsonOption = False,
) -> None:
    """Show the newest decisions, in the order in which they were made: the rules that fired.

    With --json they are whole: the event, the features, the state of each view and the place of
    the record in its topic.
    """
    from headrace_schemas.topics import DECISIONS

    _show(DECISIONS, limit, event, follow=follow, flagged=flagged, as_json=as_json)


def alerts(
    limit: Limit = 20, event: Id = None, follow: Follow = False, as_json: JsonOption = False
) -> None:
    """Show the newest alerts: flagged events as soon as they are known, before they are committed.

    After a failure an alert may come twice, with the same id, or be taken back.
    """
    from headrace_schemas.topics import ALERTS

    _show(ALERTS, limit, event, follow=follow, flagged=False, as_json=as_json)


def _show(  # noqa: PLR0913 - one for each choice
    topic: str, limit: int, event: str | None, *, follow: bool, flagged: bool, as_json: bool
) -> None:
    from headrace_streaming.kafka.clients import kafka_config
    from headrace_streaming.kafka.tail import following, newest

    settings, project = current_project()
    kafka = kafka_config(settings)
    found = _wanted(project, event, flagged=flagged)
    tail = newest(kafka, topic, limit, lambda one: bool(found(one)), rare=event is not None)
    records = [record for message in tail.records if (record := found(message))]
    people = _tell_whole if event is not None else _tell
    tell = _tell_json if as_json else people
    if not follow:
        if as_json:
            print_json(records)
            return
        if not records:
            of_what = "flagged events" if flagged else project.name
            which = f"the event {event!r}" if event is not None else of_what
            console().print(f"there are no {topic} of {which}; see: headrace stream status")
    for record in records:
        tell(record)
    if follow:
        try:
            for message in following(kafka, topic, tail.next):
                if came := found(message):
                    tell(came)
        except KeyboardInterrupt:
            return


def _wanted(
    project: Project, event: str | None, *, flagged: bool
) -> Callable[[Message], dict[str, Any] | None]:
    """What gives the records of the project that were asked for, and None for others."""

    def found(message: Message) -> dict[str, Any] | None:
        if event is not None and message.key() != event.encode():
            return None
        record = _record(message)
        if record is None or record["project"] != project.name:
            return None
        return record if record["flagged"] or not flagged else None

    return found


def _record(message: Message) -> dict[str, Any] | None:
    """What a job has said; None for what somebody else has put there."""
    try:
        record = json.loads(message.value() or b"")
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.keys() >= _ALWAYS else None


def _tell(record: Mapping[str, Any]) -> None:
    at = datetime.fromtimestamp(record["event_time"] / 1000, UTC)
    verdict = ", ".join(record["rules"]) or "not flagged"
    if record.get("retracted"):
        verdict = "taken back"
    told = f"{at:%Y-%m-%d %H:%M:%S}  {record['id']}  {record['decision']}: {verdict}"
    console().print(told, soft_wrap=True)


def _tell_whole(record: Mapping[str, Any]) -> None:
    _tell(record)
    console().print_json(data=record)


def _tell_json(record: Mapping[str, Any]) -> None:
    """A line for each, as none of them is the last."""
    typer.echo(json.dumps(record, ensure_ascii=False))
