"""The images of docker/ where no engine for containers is: their own commands on this machine.

    services = Services(machine, folder, ports)
    with services.started("writer") as writer:
        services.until_healthy(writer)

What `docker build` would make in an image is made by the Dockerfile's own lines in a folder; what
`compose.yaml` and the Dockerfile say of a service is taken as it stands, and only the places where
something is are others: folders, hosts and ports.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from headrace_features.java import java_home

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
COMPOSE = ROOT / "docker" / "compose.yaml"
HOST = "127.0.0.1"
#: Of images whose environment has another name than they.
LOCKS = {"airflow": "tasks"}
#: The PATH of a container before the Dockerfile adds to it.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
_PATIENCE_S = 120.0
_POLL_S = 0.3


@dataclass(frozen=True)
class Stage:
    """A stage of the Dockerfile: what it begins with, and its instructions by their words."""

    base: str
    instructions: tuple[tuple[str, str], ...]

    def all(self, word: str) -> list[str]:
        """What stands behind each instruction of a kind."""
        return [said for kind, said in self.instructions if kind == word]


@dataclass(frozen=True)
class Described:
    """How a container is started and looked at: its own variables, its command, its health."""

    environ: Mapping[str, str]
    command: tuple[str, ...]
    health: tuple[str, ...] | None


def stages() -> dict[str, Stage]:
    """The stages of the Dockerfile by their names."""
    lines = [one for one in DOCKERFILE.read_text().splitlines() if not one.startswith("#")]
    found: dict[str, Stage] = {}
    name = ""
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, said = line.partition(" ")
        if word == "FROM":
            base, _, name = said.partition(" AS ")
            found[name] = Stage(base, ())
        elif word:
            stage = found[name]
            found[name] = Stage(stage.base, (*stage.instructions, (word, said.strip())))
    return found


def image(target: str) -> Described:
    """What the Dockerfile says of the containers of a target."""
    known = stages()
    stage = known[target]
    before = image(stage.base) if stage.base in known else Described({"PATH": _PATH}, (), None)
    environ = dict(before.environ)
    for line in stage.all("ENV"):
        pairs = [pair.split("=", 1) for pair in shlex.split(line)]
        environ |= {name: text.replace("$PATH", environ["PATH"]) for name, text in pairs}
    command, health = before.command, before.health
    for line in stage.all("CMD"):
        command = tuple(json.loads(line))
    for line in stage.all("HEALTHCHECK"):
        _, _, asked = line.partition(" CMD ")
        health = tuple(json.loads(asked)) if asked else None
    return Described(environ, command, health)


def compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """The compose file as Compose reads it where these variables are set.

    Raises:
        KeyError: it asks for one that isn't.
    """

    def value(found: re.Match[str]) -> str:
        name, how, default = found.groups()
        return variables.get(name, default) if how == "-" else variables[name]

    read: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(value, COMPOSE.read_text()))
    return read


def described(service: Mapping[str, Any]) -> Described:
    """A service of the compose file over the image that it is built of."""
    below = image(service["build"]["target"]) if "build" in service else Described({}, (), None)
    environ = {name: str(text) for name, text in service.get("environment", {}).items()}
    asked = service.get("healthcheck", {}).get("test")
    return Described(
        {**below.environ, **environ},
        tuple(service.get("command", below.command)),
        tuple(asked[1:]) if asked else below.health,
    )


class Machine:
    """What the images hold, made on this machine by what the Dockerfile says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d"]
        subprocess.run([*build, str(folder / "dist")], cwd=ROOT, check=True, capture_output=True)
        # The jars that an image would fetch.
        (folder / "user" / ".cache").mkdir(parents=True)
        (folder / "user" / ".cache" / "headrace").symlink_to(ROOT / ".jgo")

    def environment(self, role: str) -> Path:
        """The folder that is /opt/headrace in an image."""
        lock = LOCKS.get(role, role)
        made = self.folder / lock
        if not made.exists():
            uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
            path = f"{Path(sys.executable).parent}:{Path(uv).parent}:{_PATH}"
            done = subprocess.run(
                [str(ROOT / "docker" / "install.sh"), lock, str(made), str(self.folder / "dist")],
                cwd=ROOT,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        return made

    def java(self) -> Path:
        """The folder that is /opt/java in an image."""
        made = self.folder / "java"
        if not made.exists():
            (line,) = stages()["java"].all("RUN")
            command = shlex.split(line.replace("/opt/java", str(made)))
            command[0] = str(java_home() / "bin" / command[0])
            subprocess.run(command, check=True, capture_output=True)
        return made


@dataclass
class Running:
    """A container's process."""

    described: Described
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path

    def end(self) -> int:
        """Stop it as an engine does; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE_S)


@dataclass
class Services:
    """Services of the compose file on this machine.

    Attributes:
        machine: has what is in the images.
        folder: for their data.
        variables: what the compose file asks for.
        places: what is elsewhere on this machine than the files say, of all services.
        own: the same of single ones, such as their ports.
    """

    machine: Machine
    folder: Path
    variables: Mapping[str, str]
    places: Mapping[str, str]
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def moved(self, name: str, text: str, places: Mapping[str, str]) -> str:
        """A text with the places of this machine."""
        known = {**self.places, **self.own.get(name, {}), **places}
        longest = sorted(known, key=len, reverse=True)
        pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")
        return pattern.sub(lambda found: known[found[0]], text)

    def of(self, name: str) -> Described:
        """How a service is started here."""
        service = compose(self.variables)["services"][name]
        said = described(service)
        places = {}
        environ = {}
        if "build" in service:
            target = service["build"]["target"]
            made = self.machine.environment(target)
            python = next((made / "lib").iterdir())
            places = {"/opt/headrace/lib/python3.11": str(python), "/opt/headrace": str(made)}
            environ = {"HOME": str(self.machine.folder / "user"), "LANG": "C.UTF-8"}
            if "JAVA_HOME" in said.environ:
                places["/opt/java"] = str(self.machine.java())
            if "FLINK_CONF_DIR" in said.environ:
                places["/etc/flink"] = str(self._flink_conf(name, python))

        def here(text: str) -> str:
            return self.moved(name, text, places)

        return Described(
            {**environ, **{key: here(text) for key, text in said.environ.items()}},
            tuple(map(here, said.command)),
            tuple(map(here, said.health)) if said.health else None,
        )

    def _flink_conf(self, name: str, python: Path) -> Path:
        folder = self.folder / f"{name}-conf"
        folder.mkdir(exist_ok=True)
        text = (ROOT / "docker" / "flink.yaml").read_text()
        (folder / "config.yaml").write_text(self.moved(name, text, {}))
        for shipped in (python / "site-packages" / "pyflink" / "conf").glob("log4j-c*.properties"):
            shutil.copy(shipped, folder)
        return folder

    @contextmanager
    def started(
        self, name: str, *further: str, command: Sequence[str] | None = None, **environ: str
    ) -> Iterator[Running]:
        """A service from its start command on, ended with all that it has started."""
        here = self.of(name)
        here = Described({**here.environ, **environ}, tuple(command or here.command), here.health)
        log = self.folder / f"{name}.log"
        project = self.folder / "project"
        project.mkdir(exist_ok=True)
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*here.command, *further],
                env=dict(here.environ),
                cwd=project,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            yield Running(here, project, process, log)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def run(self, name: str, *command: str, **environ: str) -> str:
        """What a command says that `docker compose run` would run; the service's own by default."""
        here = self.of(name)
        project = self.folder / "project"
        project.mkdir(exist_ok=True)
        done = subprocess.run(
            command or here.command,
            env={**here.environ, **environ},
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    @staticmethod
    def until_healthy(running: Running) -> None:
        """Wait until the health check of a service says that it is well."""
        health = running.described.health
        assert health is not None
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            asked = subprocess.run(
                health,
                env=dict(running.described.environ),
                cwd=running.folder,
                capture_output=True,
                text=True,
                check=False,
            )
            if asked.returncode == 0:
                return
            told = running.log.read_text(errors="replace")[-3000:] + asked.stderr[-500:]
            assert running.process.poll() is None, told
            assert time.monotonic() < deadline, told
            time.sleep(_POLL_S)
