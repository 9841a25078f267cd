"""The stream job as a script: `flink run -py …/headrace_streaming/job/stream.py`.

It takes the project of the current directory, as every command does.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headrace_features.portable_project import read_definitions
from headrace_features.project import load_project
from headrace_features.stream_plan.plan import plan_json
from headrace_schemas.settings import load
from headrace_streaming.job.announcement import announcement_of, require_readable
from headrace_streaming.job.assembly import assemble, history_job_name, job_name
from headrace_streaming.job.config import LakeState, Mode, StateBackend
from headrace_streaming.job.deployment import stop_if_running
from headrace_streaming.job.environment import new_environment, restored_from
from headrace_streaming.job.options import job_config
from headrace_streaming.kafka.clients import connector_properties, kafka_config
from headrace_streaming.kafka.epochs import Announcement, claim_epoch, deployments
from headrace_streaming.kafka.reading import ends
from headrace_streaming.kafka.topics import create_topics, topics_of

if TYPE_CHECKING:
    from headrace_features.project import Project


def main() -> None:
    """Assemble the job of the current project and submit it."""
    arguments = _arguments()
    settings = load(Path.cwd(), os.environ)
    chosen = {name: value for name, value in vars(arguments).items() if value is not None}
    bounded, history = chosen.pop("bounded"), chosen.pop("history", None)
    newest_state = chosen.pop("newest_state")
    lake = msgspec.json.decode(chosen.pop("lake", "null"), type=LakeState | None)
    also_in_files = chosen.pop("also_in_files", [])
    if history is not None:
        # It writes its state once, at its end.
        chosen["state_changelog"] = "off"
    definitions, replaces = chosen.pop("definitions", None), chosen.pop("replaces", None)
    live = not chosen.pop("apart")
    decided_since_ms = chosen.pop("decided_since", 0)
    settings = replace(settings, stream=replace(settings.stream, **chosen))
    project = load_project(settings) if definitions is None else read_definitions(definitions)
    plan = plan_json(project)
    kafka = kafka_config(settings)
    made = create_topics(kafka, topics_of(project, live=live))
    config = job_config(settings, connector_properties(kafka), 0, bounded=bounded)
    config = replace(
        config,
        namespace=project.namespace,
        live=live,
        decided_since_ms=decided_since_ms,
        history=history,
        lake=lake,
        newest_state=newest_state,
    )
    environment = new_environment(config)
    named = job_name if history is None else history_job_name
    name = named(project.full_name)
    if history is None:
        state = restored_from(environment)
        config = replace(config, goes_on=state is not None)
        if state is not None:
            former = deployments(kafka, project.name, project.namespace)
            require_readable(project, former[-1].told if former else None)
        oldest = _oldest(kafka, project, made)
        announced = announcement_of(project, config, state, oldest, also_in_files)
    else:
        # What makes state out of history is no deployment of the project.
        announced = Announcement(project=name, mode=config.mode)
    if replaces is not None:
        # All that takes long is done: from here until it works nobody decides.
        stop_if_running(settings, replaces)
    config = replace(config, epoch=claim_epoch(kafka, announced))
    assemble(environment, plan, config)
    environment.execute_async(name)


def _oldest(
    kafka: Mapping[str, str], project: Project, made: Collection[str]
) -> dict[str, dict[int, int]]:
    """By source and partition the offset of the oldest record, but of topics just made.

    Those aren't known everywhere yet, and begin with 0.
    """
    return {
        name: {partition: oldest for partition, (oldest, _) in ends(kafka, source.topic).items()}
        for name, source in project.sources.items()
        if source.topic not in made
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the stream job of a project.")
    parser.add_argument("--mode", choices=list(Mode), help="in place of [stream] mode")
    parser.add_argument("--bounded", action="store_true", help="end at the newest records")
    parser.add_argument(
        "--newest-state",
        action="store_true",
        help="what it goes on from is the newest state of the job before it",
    )
    parser.add_argument("--parallelism", type=int, help="in place of [stream] parallelism")
    parser.add_argument(
        "--state-backend", choices=list(StateBackend), help="in place of [stream] state_backend"
    )
    parser.add_argument("--definitions", type=Path, help="a file: in place of the project's")
    parser.add_argument(
        "--apart", action="store_true", help="keep decisions in the namespace, and alert nobody"
    )
    parser.add_argument(
        "--decided-since", type=int, help="ms UTC: decisions of others were made since then"
    )
    parser.add_argument("--replaces", help="the full name whose job is stopped before this starts")
    parser.add_argument("--history", help="read topics of history, and make state alone")
    parser.add_argument("--lake", help="JSON: what a state has that was made of the lake's events")
    parser.add_argument(
        "--also-in-files",
        action="append",
        metavar="SOURCE",
        help="a source that has events which never were in its topic",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
