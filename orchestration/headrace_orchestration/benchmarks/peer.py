"""Runs the peer of `bench drain`: Quix Streams, in an environment of its own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from headrace_schemas.errors import ConfigurationError, RetryableError

#: As many as the stream job has subtasks; they share the partitions of one consumer group.
PROCESSES = 2
OUTPUT = "peer-decisions"
_SCRIPT = Path(__file__).with_name("quix_peer.py")
_CHECKOUT = Path(__file__).resolve().parents[3]
_LOCK = _CHECKOUT / "requirements" / "quix.txt"
_GRACE_S = 20.0


def environment(home: Path) -> Path:
    """The interpreter of an environment with exactly the locked packages; made by the first call.

    Args:
        home: the folder for all data, below which it is kept.

    Raises:
        ConfigurationError: there is no lock, or no uv, or the packages can't be fetched.
    """
    if not _LOCK.is_file():
        raise ConfigurationError(
            f"the peer's packages are not locked here: there is no {_LOCK}",
            hint="run it from a checkout, or leave the peer out with --no-peer",
        )
    number = hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]
    folder = home / "peers" / f"quix-{number}"
    python = folder / "bin" / "python"
    if not python.exists():
        unfinished = folder.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        uv = _uv()
        _run(uv, "venv", "-q", "--relocatable", "--python", sys.executable, unfinished)
        fresh = unfinished / "bin" / "python"
        _run(uv, "pip", "sync", "-q", "--python", fresh, "--require-hashes", _LOCK)
        unfinished.rename(folder)
    return python


def _uv() -> str:
    found = shutil.which("uv") or shutil.which("uv", path=_CHECKOUT / ".tools" / "bin")
    if found is None:
        raise ConfigurationError(
            "uv, which installs the peer, is not here",
            hint="run make setup, or leave the peer out with --no-peer",
        )
    return found


def _run(*command: str | Path) -> None:
    done = subprocess.run(  # noqa: S603 - uv with the lock
        command, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing said"]
        raise ConfigurationError(
            f"the peer's environment can't be made: {said[-1]}",
            hint="it needs the package index; leave the peer out with --no-peer",
        )


class Peer:
    """The running processes."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
        self._processes = processes
        self._log = log

    def check(self) -> None:
        """See that they all run.

        Raises:
            RetryableError: one has ended; the message has the end of its log.
        """
        if any(process.poll() is not None for process in self._processes):
            said = self._log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise RetryableError(f"a process of the peer ended; the log ends with: {said[-1]}")


@contextmanager
def running(python: Path, kafka: Mapping[str, str], folder: Path) -> Iterator[Peer]:
    """Start the peer's processes on a broker, and end them.

    Args:
        python: of its environment.
        kafka: the configuration of any client.
        folder: for the state and the log.
    """
    folder.mkdir()
    log = folder / "peer.log"
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with log.open("wb") as out:
            for number in range(PROCESSES):
                command = [
                    *(str(python), str(_SCRIPT), "--broker", kafka["bootstrap.servers"]),
                    *("--output", OUTPUT, "--state", str(folder / str(number))),
                ]
                processes.append(
                    subprocess.Popen(  # noqa: S603 - our own script
                        command, stdin=subprocess.DEVNULL, stdout=out, stderr=out
                    )
                )
        yield Peer(processes, log)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
