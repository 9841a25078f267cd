"""Services of a benchmark's own: started in a temporary home, gone with it whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import NoReturn

from headrace_features.embedded import STREAM_SERVICES, wanted_services
from headrace_features.project import Project, load_project
from headrace_schemas.settings import Settings, load
from headrace_streaming.job import deployment
from headrace_streaming.job.cluster import Cluster, Job
from headrace_streaming.job.config import Mode, StateBackend
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.topics import create_topics, topics_of
from headrace_streaming.services import control


@dataclass(frozen=True, slots=True)
class Stage:
    """A broker and a cluster of a benchmark, with the topics of the built-in project.

    Attributes:
        settings: with a home of their own.
        project: the built-in one, unless the settings name another.
        kafka: the configuration of any client.
        environ: the variables for what is started.
    """

    settings: Settings
    project: Project
    kafka: Mapping[str, str]
    environ: Mapping[str, str]

    @property
    def cluster(self) -> Cluster:
        """The Flink cluster."""
        return Cluster.of(self.settings)

    def deploy(
        self,
        *,
        mode: Mode = Mode.IMMEDIATE,
        state_backend: StateBackend | None = None,
        changelog: bool = False,
    ) -> Job:
        """The project's job, as `headrace stream deploy` deploys it, without any state."""
        environ = {
            **self.environ,
            "HEADRACE_STREAM_STATE_CHANGELOG": "on" if changelog else "off",
        }
        return deployment.deploy(
            self.settings,
            self.project,
            environ,
            mode=mode,
            fresh=True,
            state_backend=state_backend,
        ).job

    def stop(self) -> None:
        """End the job, as `headrace stream stop` does."""
        deployment.stop(self.settings, self.project)


@contextmanager
def stage(
    home: Path,
    told: Callable[[str], None],
    given: Mapping[str, str] = MappingProxyType({}),
    *,
    serving: bool = False,
) -> Iterator[Stage]:
    """Start services, and take them and their data away at the end, after an error too.

    Args:
        home: the folder for all data; the benchmark's lies below it.
        told: is told what is going on.
        given: settings, as variables.
        serving: whether the online store and its writer run as well.
    """
    # A process that is told to end would leave the services running.
    before = signal.signal(signal.SIGTERM, _interrupt)
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=home))
    try:
        # The built-in project, wherever the command was called.
        own = {"HEADRACE_HOME": str(folder), **given}
        settings, environ = load(folder, own), {**os.environ, **own}
        project = load_project(settings)
        wanted = wanted_services(settings) if serving else STREAM_SERVICES
        try:
            control.up(folder, environ, told, wanted=wanted)
            kafka = kafka_config(settings)
            create_topics(kafka, topics_of(project))
            yield Stage(settings, project, kafka, environ)
        finally:
            told("stopping the services")
            control.down(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt
