"""`headrace up`, `down` and `status`: the embedded services."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headrace_orchestration.output import JsonOption, print_json, print_table, status
from headrace_orchestration.session import current_home, current_project, current_settings
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_features.embedded import Service
    from headrace_streaming.services.control import State


def up(as_json: JsonOption = False) -> None:
    """Start a Kafka broker and a Flink cluster on loopback, and create the project's topics.

    The writer of the online store is started too, and Redis where that is an embedded one.
    """
    from headrace_features.embedded import wanted_services
    from headrace_orchestration.writing import renew_writer
    from headrace_streaming.job.options import job_options
    from headrace_streaming.kafka.clients import kafka_config
    from headrace_streaming.kafka.topics import create_topics, topics_of
    from headrace_streaming.services import control

    settings, project = current_project()
    with status("headrace up") as told:
        states = control.up(
            settings.home, os.environ, told, job_options(settings), wanted_services(settings)
        )
        told("topics")
        create_topics(kafka_config(settings), topics_of(project))
    renew_writer(settings, project)
    _show(states, as_json=as_json)


def down(as_json: JsonOption = False) -> None:
    """Stop the embedded services; their data stay."""
    from headrace_streaming.services import control

    with status("headrace down"):
        states = control.down(current_home(), _wanted())
    _show(states, as_json=as_json)


def show(as_json: JsonOption = False) -> None:
    """Tell which embedded services run, and where."""
    from headrace_streaming.services import control

    _show(control.status(current_home(), _wanted()), as_json=as_json)


def _wanted() -> tuple[Service, ...]:
    """What the settings want; whatever is wrong with them, what runs can be seen and stopped."""
    from headrace_features.embedded import STREAM_SERVICES, wanted_services

    try:
        return wanted_services(current_settings())
    except ConfigurationError:
        return STREAM_SERVICES


def _show(states: list[State], *, as_json: bool) -> None:
    if as_json:
        print_json(states)
        return
    columns = ("service", "state", "address", "process", "data")
    print_table(
        None,
        columns,
        [
            (s.service, s.state, s.address, None if s.pid is None else str(s.pid), s.data)
            for s in states
        ],
    )
