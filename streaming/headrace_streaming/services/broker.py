"""The embedded Kafka broker: one KRaft node that is broker and controller."""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from headrace_features.java import java_home
from headrace_schemas.errors import ConfigurationError
from headrace_streaming.jars import BROKER
from headrace_streaming.services.flink import QUICK_TO_START, distribution

_HEAP = "-Xmx512m"
#: By these names Kafka's own scripts take options of Java.
_HEAP_OPTIONS, _JAVA_OPTIONS = "KAFKA_HEAP_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS"
_LOG4J = Path(__file__).with_name("log4j2.properties")


def prepare(folder: Path, ports: dict[str, int], environ: Mapping[str, str]) -> list[str]:
    """Write the broker's configuration, format its storage once; returns the command to start it.

    Args:
        folder: for all that the broker has.
        ports: on which it listens to clients and to itself.
        environ: may have options of Java, under the names that Kafka's own scripts know.

    Raises:
        ConfigurationError: Java or the jars are missing, or the storage can't be formatted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    properties = _written(folder / "server.properties", _properties(folder / "data", ports))
    if not (folder / "data").exists():
        _format(folder, ports)
    options = shlex.split(environ.get(_HEAP_OPTIONS, _HEAP))
    options += shlex.split(environ.get(_JAVA_OPTIONS, ""))
    return [*_java(), *options, "kafka.Kafka", str(properties)]


def _written(file: Path, properties: dict[str, str]) -> Path:
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    return file


def _properties(data: Path, ports: dict[str, int]) -> dict[str, str]:
    client = f"PLAINTEXT://127.0.0.1:{ports['client']}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{ports['controller']}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{client},CONTROLLER://127.0.0.1:{ports['controller']}",
        "advertised.listeners": client,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        # There is one node to keep what others would keep three times.
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # One that was killed may come back only when it is missed, by itself: nine seconds else.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # A misspelt topic is an error, not a new topic.
        "auto.create.topics.enable": "false",
    }


def _format(folder: Path, ports: dict[str, int]) -> None:
    # Beside its place, so that a format that was cut short is never taken for a broker's data.
    fresh = folder / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    properties = _written(folder / "format.properties", _properties(fresh, ports))
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # A name that begins with a dash would be taken for an option.
    cluster = "A" + cluster[1:]
    command = [*_java(), *shlex.split(QUICK_TO_START), "kafka.tools.StorageTool", "format"]
    command += ["--cluster-id", cluster]
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, "--config", str(properties)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing said"]
        raise ConfigurationError(
            f"the storage of the Kafka broker can't be formatted: {said[-1]}",
            hint=f"see {properties}; is there room on the disk?",
        )
    fresh.rename(folder / "data")


def _java() -> list[str]:
    # Flink's distribution has what carries the broker's log to its end.
    binding = (distribution() / "lib").glob("log4j-slf4j-impl-*.jar")
    class_path = os.pathsep.join(map(str, (*BROKER.paths(), *binding)))
    log = f"-Dlog4j2.configurationFile={_LOG4J}"
    return [str(java_home() / "bin" / "java"), "-cp", class_path, log]
