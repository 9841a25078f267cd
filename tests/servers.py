"""Feature servers as processes of their own, and what they answer.

with headrace_server(home, HEADRACE_SERVING_AUTH="keys") as server:
    answer = server.ask("/get-online-features", {...}, {"X-API-Key": key})
"""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
_REPOSITORY = Path(__file__).parents[1] / "features" / "feature_repo"
_PATIENCE_S = 60.0
_LISTENING = re.compile(r"(?:running on|Listening at:) https?://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def detail(self) -> str:
        """What an error says: one line."""
        assert list(self.body) == ["detail"], self.body
        detail: str = self.body["detail"]
        assert "\n" not in detail
        assert "Traceback" not in detail
        return detail

    @property
    def columns(self) -> dict[str, list[Any]]:
        """Values by the names of the columns."""
        assert self.status == 200, self.body
        results = [result["values"] for result in self.body["results"]]
        return dict(zip(self.body["metadata"]["feature_names"], results, strict=True))


@dataclass(frozen=True)
class Server:
    """One that runs and listens."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(
        self,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Answer:
        """Ask by POST if there is a body, which is text, bytes or what JSON can say."""
        connection = (
            HTTPConnection(HOST, self.port, timeout=_PATIENCE_S)
            if tls is None
            else HTTPSConnection(HOST, self.port, timeout=_PATIENCE_S, context=tls)
        )
        given = {"Content-Type": "application/json", **(headers or {})}
        sent = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        try:
            connection.request("GET" if body is None else "POST", path, sent, given)
            response = connection.getresponse()
            text = response.read()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, json.loads(text) if text else None)
        finally:
            connection.close()

    def end(self) -> int:
        """Tell it to end, and wait; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE_S)


@contextmanager
def headrace_server(home: Path, *arguments: str, **environ: str) -> Iterator[Server]:
    """`headrace serve` on a free port, with its data in a folder."""
    with _server(home, ("headrace", "serve", "--port", "0", *arguments), environ) as server:
        yield server


@contextmanager
def feast_server(home: Path) -> Iterator[Server]:
    """`feast serve` on the repository as it is."""
    arguments = ("-c", str(_REPOSITORY), "serve", "--port", "0", "--no-access-log")
    with _server(home, ("feast", *arguments), {}) as server:
        yield server


@contextmanager
def feast_page(home: Path) -> Iterator[Server]:
    """`feast ui` on the repository as it is."""
    arguments = ("-c", str(_REPOSITORY), "ui", "--host", HOST, "--port", "0")
    with _server(home, ("feast", *arguments), {}) as server:
        yield server


def headrace_serve(home: Path, *arguments: str, **environ: str) -> tuple[int, str]:
    """What a `headrace serve` that can't start ends with: its status and what it says."""
    command = [str(Path(sys.executable).with_name("headrace")), "serve", "--port", "0", *arguments]
    done = subprocess.run(
        command,
        env={**os.environ, "HEADRACE_HOME": str(home), **environ},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_S,
    )
    return done.returncode, done.stderr


@contextmanager
def _server(home: Path, command: tuple[str, ...], environ: Mapping[str, str]) -> Iterator[Server]:
    name, *arguments = command
    log = home / f"{name}-{time.monotonic_ns()}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name(name)), *arguments],
            env={**os.environ, "HEADRACE_HOME": str(home), **environ},
            cwd=home,
            stdout=out,
            stderr=out,
        )
    try:
        yield Server(process, _port(process, log), log)
    finally:
        # Its workers end when it does.
        process.terminate()
        try:
            process.wait(_PATIENCE_S)
        finally:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + _PATIENCE_S
    while (found := _LISTENING.search(log.read_text())) is None:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return int(found[1])
