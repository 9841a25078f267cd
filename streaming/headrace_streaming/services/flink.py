"""The embedded Flink cluster: a JobManager and a TaskManager of the installed distribution."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from headrace_features.java import java_home
from headrace_schemas.errors import ConfigurationError
from headrace_streaming.whole_file import write_whole

_SLOTS = 4
_TEMPORARY = "tmp"
#: Options of Java for what runs shortly, or has little to do.
QUICK_TO_START = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"


def distribution() -> Path:
    """The folder of the Flink distribution inside PyFlink.

    Raises:
        ConfigurationError: PyFlink is not installed.
    """
    spec = find_spec("pyflink")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "the package 'pyflink' is not installed", hint="pip install 'headrace[streaming]'"
        )
    return Path(spec.origin).parent


def prepare(folder: Path, ports: Mapping[str, int], further: Mapping[str, str]) -> None:
    """Write the cluster's configuration; both processes read the same."""
    conf = folder / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    shipped = distribution() / "conf"
    options = {**_configuration(folder, ports), **further}
    # JSON is YAML: whatever a text holds, it is read as that text.
    lines = (f"{name}: {json.dumps(value)}\n" for name, value in options.items())
    written = _java_options(shipped) + "".join(lines)
    # Options may be passwords and keys, of an object store for example.
    write_whole(conf / "config.yaml", written.encode(), mode=0o600)
    for name in ("log4j-console.properties", "log4j-cli.properties"):
        (conf / name).write_bytes((shipped / name).read_bytes())


def clear(folder: Path) -> None:
    """Delete what processes that have ended have left: a copy of each job's files, in each."""
    shutil.rmtree(folder / _TEMPORARY, ignore_errors=True)


def jobmanager() -> list[str]:
    """The command that runs the JobManager in the foreground."""
    return _script("jobmanager")


def taskmanager(run: str) -> list[str]:
    """The command that runs a TaskManager in the foreground, known to the JobManager as `run`."""
    return [*_script("taskmanager"), f"-Dtaskmanager.resource-id={run}"]


def _script(name: str) -> list[str]:
    return ["bash", str(distribution() / "bin" / f"{name}.sh"), "start-foreground"]


def environment(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables under which the distribution's scripts find everything.

    A home without a cluster of its own has no configuration in `folder`: commands for another
    cluster take that which `FLINK_CONF_DIR` names, or what Flink ships.
    """
    conf = folder / "conf"
    if not conf.exists():
        conf = Path(environ.get("FLINK_CONF_DIR") or distribution() / "conf")
    return {
        **environ,
        "JAVA_HOME": str(java_home()),
        "FLINK_HOME": str(distribution()),
        "FLINK_CONF_DIR": str(conf),
        "FLINK_LOG_DIR": str(folder / "log"),
        "FLINK_PID_DIR": str(folder),
        "FLINK_SSH_OPTS": "",
        "PATH": os.pathsep.join([str(java_home() / "bin"), environ.get("PATH", os.defpath)]),
    }


def _java_options(shipped: Path) -> str:
    """The lines of the shipped configuration that open Java's modules to Flink."""
    lines = iter((shipped / "config.yaml").read_text().splitlines(keepends=True))
    for line in lines:
        if line.startswith("env:"):
            indented = []
            for following in lines:
                if not following.startswith(" "):
                    break
                indented.append(following)
            return line + "".join(indented)
    return ""


def _configuration(folder: Path, ports: Mapping[str, int]) -> dict[str, str | int]:
    return {
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.rpc.port": ports["rpc"],
        "jobmanager.bind-host": "127.0.0.1",
        "jobmanager.memory.process.size": "1024m",
        # It handles no events: compiling what it does to the last takes cores from who does.
        "env.java.opts.jobmanager": QUICK_TO_START,
        # It ends after seconds: of what it compiles to the last nothing is used.
        "env.java.opts.client": QUICK_TO_START,
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": ports["client"],
        "rest.bind-port": ports["client"],
        "blob.server.port": ports["blob"],
        "taskmanager.host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "taskmanager.numberOfTaskSlots": _SLOTS,
        "taskmanager.memory.process.size": "3072m",
        "taskmanager.memory.managed.fraction": "0.3",
        "io.tmp.dirs": str(folder / _TEMPORARY),
        "state.backend.type": "hashmap",
        "execution.checkpointing.dir": (folder / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (folder / "savepoints").as_uri(),
        "execution.checkpointing.num-retained": 3,
        # For jobs with `[stream] state_changelog`.
        "state.changelog.storage": "filesystem",
        "dstl.dfs.base-path": (folder / "changelog").as_uri(),
        # Each write is a call of the system; beyond half a megabyte G1 would treat it as huge.
        "dstl.dfs.upload.buffer-size": "256 kb",
        "execution.checkpointing.write-buffer-size": 256 * 1024,
        # A process that was killed is missed after seconds, and its job goes on at once.
        "heartbeat.interval": 1000,
        "heartbeat.timeout": 8000,
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "200 ms",
        "restart-strategy.exponential-delay.max-backoff": "10 s",
        "web.submit.enable": "true",
    }
