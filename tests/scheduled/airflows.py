"""Airflow as processes of its own, with the DAGs of a project and its data in a home."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from scheduled.airflow_api import AirflowApi

_ROOT = Path(__file__).parents[2]
_BIN = _ROOT / ".airflow-venv/bin"
_DAGS = _ROOT / "orchestration/dags"
_DAYS = Path(__file__).with_name("days_in_airflow.py")
_KILLED = Path(__file__).with_name("killed_headrace.py")
DAILY = "daily_features"
_LOCKED = "(sqlite3.OperationalError) database is locked"
#: The DAGs as they are, but what failed is tried again at once, and no day of today's is due, which
#: would be tried again all the while. Airflow looks only at files that name it.
_IMPATIENT = f"""
# For airflow.
import sys
from datetime import UTC, datetime, timedelta

sys.path.append("{_DAGS}")

from headrace_factory.build import dags_of
from headrace_factory.document import project_folder

for name, dag in dags_of(project_folder()).items():
    if name == "{DAILY}":
        dag.end_date = datetime(2019, 1, 1, tzinfo=UTC)
    for task in dag.tasks:
        task.retry_delay = timedelta(seconds=1)
        task.retry_exponential_backoff = 0
    globals()[name] = dag
"""


def killed_at_first(folder: Path, marks: Path) -> str:
    """A command for tasks that is killed amid its work, see `killed_headrace`.

    Args:
        folder: where it is made.
        marks: where it marks what was killed.
    """
    marks.mkdir()
    command = folder / "headrace"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {_KILLED} {marks} "$@"\n')
    command.chmod(0o755)
    return str(command)


@dataclass(frozen=True)
class Airflow:
    """An Airflow.

    Attributes:
        home: of Headrace's data; Airflow's is in it.
        where: what `[ingest]` says.
        command: `headrace`; None is that of the checkout.
        folder: of the project; None is the built-in one.
        is_impatient: it tries again at once what has failed.
    """

    home: Path
    where: str = "{}"
    command: str | None = None
    folder: Path | None = None
    is_impatient: bool = False
    environ: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        others = {
            name: text for name, text in os.environ.items() if not name.startswith("HEADRACE_")
        }
        named = {} if self.command is None else {"HEADRACE_COMMAND": self.command}
        object.__setattr__(
            self,
            "environ",
            {
                **others,
                **named,
                "AIRFLOW_HOME": str(self.home / "airflow"),
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow/airflow.db",
                "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{self.home}/airflow/logs",
                "AIRFLOW__CORE__DAGS_FOLDER": str(self._dags),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "HEADRACE_FOLDER": str(self.folder or self.home),
                "HEADRACE_HOME": str(self.home),
                "HEADRACE_INGEST": self.where,
            },
        )

    @property
    def _dags(self) -> Path:
        return self.home / "dags" if self.is_impatient else _DAGS

    def prepare(self, like: Path | None = None) -> None:
        """Give it a database with the pool: a new one, or a copy of what another one was given.

        One that is scheduling alone makes its own, which takes a while.

        Args:
            like: the home of that one.
        """
        empty = self.home / "empty.db"
        database = self.home / "airflow/airflow.db"
        if like is None:
            self.run("db", "migrate")
            self.run("pools", "import", str(_DAGS / "pools.json"))
            shutil.copy(database, empty)
        else:
            database.parent.mkdir()
            shutil.copy(like / empty.name, database)

    def run(self, *arguments: str) -> None:
        """Run one of Airflow's commands, again where SQLite let the scheduler go first.

        A transaction that has read can't write once another has, however long it waits; Airflow
        takes back what such a command has begun.
        """
        while _LOCKED in (told := self._ended(str(_BIN / "airflow"), *arguments)).stderr:
            assert told.returncode
        assert told.returncode == 0, (arguments, told.stdout[-4000:], told.stderr[-4000:])

    def test(self, days: Sequence[date], name: str = DAILY) -> None:
        """Run days of a DAG one by one, by `dag.test`, which end well."""
        done = self._ended(str(_BIN / "python"), str(_DAYS), name, *map(str, days))
        assert done.returncode == 0, (done.stdout[-4000:], done.stderr[-4000:])

    def test_failing(self, day: date) -> str:
        """Run a day by `dag.test`, which doesn't end well; all that was told."""
        done = self._ended(str(_BIN / "python"), str(_DAYS), DAILY, str(day))
        assert done.returncode == 1, (done.stdout[-4000:], done.stderr[-4000:])
        return done.stdout + done.stderr

    def _ended(self, *line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            line, env=self.environ, cwd=self.home, capture_output=True, text=True, check=False
        )

    @contextmanager
    def scheduling(self) -> Iterator[AirflowApi]:
        """Have its scheduler at work, as `make airflow` starts it, and a user logged in."""
        if self.is_impatient:
            self._dags.mkdir()
            (self._dags / "runs.py").write_text(_IMPATIENT)
            shutil.copy(_DAGS / "pools.json", self._dags)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = self.home / "airflow.log"
        with (
            log.open("wb") as out,
            subprocess.Popen(
                [str(_ROOT / "scripts/airflow.sh"), "show"],
                env={**self.environ, "AIRFLOW__API__PORT": str(port)},
                stdout=out,
                stderr=out,
                start_new_session=True,
            ) as shown,
        ):
            try:
                while b"Ctrl-C ends it" not in log.read_bytes():
                    assert shown.poll() is None, log.read_text()
                    time.sleep(0.2)
                while not self._asked("SELECT 1 FROM serialized_dag WHERE dag_id = ?", DAILY):
                    time.sleep(0.2)
                yield AirflowApi.of(port, self.home / "airflow")
            finally:
                shown.terminate()
                shown.wait()

    def tries(self, kind: str, dag: str = DAILY) -> dict[str, int]:
        """How often each task of a DAG's runs of a kind was begun, at most."""
        query = (
            "SELECT task_id, max(try_number) FROM task_instance JOIN dag_run"
            " USING (dag_id, run_id) WHERE dag_id = ? AND run_type = ? GROUP BY task_id"
        )
        return {task: int(number) for task, number in self._asked(query, dag, kind)}

    def states(self, kind: str) -> Counter[str]:
        """How many runs of a kind, such as backfill, are in which state."""
        query = "SELECT state FROM dag_run WHERE dag_id = ? AND run_type = ?"
        return Counter(state for (state,) in self._asked(query, DAILY, kind))

    def _asked(self, query: str, *values: str) -> list[tuple[str, ...]]:
        place = self.home / "airflow/airflow.db"
        with closing(sqlite3.connect(place, timeout=60)) as database:
            return database.execute(query, values).fetchall()
