"""The stream job as a script: `flink run -py …/headrace_streaming/job/stream.py`.

It takes the project of the current directory, as every command does.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from headrace_features.project import load_project
from headrace_features.stream_plan.plan import plan_json
from headrace_schemas.settings import load
from headrace_streaming.job.assembly import assemble, job_name
from headrace_streaming.job.config import Mode, StateBackend
from headrace_streaming.job.environment import new_environment, restored_from
from headrace_streaming.job.options import job_config
from headrace_streaming.kafka.clients import connector_properties, kafka_config
from headrace_streaming.kafka.epochs import Announcement, claim_epoch
from headrace_streaming.kafka.topics import create_topics, topics_of


def main() -> None:
    """Assemble the job of the current project and submit it."""
    arguments = _arguments()
    settings = load(Path.cwd(), os.environ)
    chosen = {name: value for name, value in vars(arguments).items() if value is not None}
    bounded = chosen.pop("bounded")
    settings = replace(settings, stream=replace(settings.stream, **chosen))
    project = load_project(settings)
    plan = plan_json(project)
    kafka = kafka_config(settings)
    create_topics(kafka, topics_of(project))
    config = job_config(settings, connector_properties(kafka), 0, bounded=bounded)
    environment = new_environment(config)
    announced = Announcement(
        project=project.name, mode=config.mode, restored_from=restored_from(environment)
    )
    config = replace(config, epoch=claim_epoch(kafka, announced))
    assemble(environment, plan, config)
    environment.execute_async(job_name(project.name))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the stream job of a project.")
    parser.add_argument("--mode", choices=list(Mode), help="in place of [stream] mode")
    parser.add_argument("--bounded", action="store_true", help="end at the newest records")
    parser.add_argument("--parallelism", type=int, help="in place of [stream] parallelism")
    parser.add_argument(
        "--state-backend", choices=list(StateBackend), help="in place of [stream] state_backend"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
