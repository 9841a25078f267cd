"""What a person does in Airflow's web page, by the interface that the page uses."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class AirflowApi:
    """A user who is logged in.

    Attributes:
        port: of the server, on loopback.
        token: of the user.
    """

    port: int
    token: str

    @classmethod
    def of(cls, port: int, home: Path) -> AirflowApi:
        """Log in as the user whose password `make airflow` shows."""
        place = home / "simple_auth_manager_passwords.json.generated"
        password = json.loads(place.read_text())["admin"]
        user = {"username": "admin", "password": password}
        told = _asked(port, "/auth/token", user, "POST", {})
        return cls(port, told["access_token"])

    def unpause(self, dag: str) -> None:
        """Switch it on."""
        self._asked(f"dags/{dag}", {"is_paused": False}, "PATCH")

    def trigger(self, dag: str, conf: Mapping[str, object]) -> str:
        """Start a run with parameters; its id."""
        told = self._asked(f"dags/{dag}/dagRuns", {"logical_date": None, "conf": conf}, "POST")
        return str(told["dag_run_id"])

    def runs(self, dag: str) -> list[str]:
        """The runs that there are."""
        return [one["dag_run_id"] for one in self._asked(f"dags/{dag}/dagRuns")["dag_runs"]]

    def states(self, dag: str, run: str) -> dict[str, str | None]:
        """The state of each task of a run."""
        told = self._asked(f"dags/{dag}/dagRuns/{run}/taskInstances")
        return {one["task_id"]: one["state"] for one in told["task_instances"]}

    def result(self, dag: str, run: str, task: str) -> str:
        """What a task has given back."""
        told = self._asked(
            f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        )
        return str(told["value"])

    def question(self, dag: str, run: str, task: str) -> dict[str, Any]:
        """What a task asks a person."""
        return self._asked(f"{_task(dag, run, task)}/hitlDetails")

    def answer(self, dag: str, run: str, task: str, chosen: str) -> None:
        """Say what a task waits for."""
        said = {"chosen_options": [chosen], "params_input": {}}
        self._asked(f"{_task(dag, run, task)}/hitlDetails", said, "PATCH")

    def _asked(self, path: str, body: object = None, method: str = "GET") -> dict[str, Any]:
        known = {"Authorization": f"Bearer {self.token}"}
        return _asked(self.port, f"/api/v2/{path}", body, method, known)


def _task(dag: str, run: str, task: str) -> str:
    return f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/-1"


def _asked(
    port: int, path: str, body: object, method: str, headers: Mapping[str, str]
) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    told = {"Content-Type": "application/json", **headers}
    while True:
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request(method, path, data, told)
            answer = connection.getresponse()
            said = answer.read()
        # SQLite has let the scheduler go first, and nothing was done.
        if b"Database error" not in said:
            assert answer.status in {200, 201}, said
            found: dict[str, Any] = json.loads(said)
            return found
        time.sleep(0.2)
