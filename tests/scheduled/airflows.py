"""Airflow as processes of its own, with the DAGs of the built-in project and its data in a home."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_BIN = _ROOT / ".airflow-venv/bin"
_DAYS = Path(__file__).with_name("days_in_airflow.py")
DAILY = "daily_features"
_LOCKED = "(sqlite3.OperationalError) database is locked"


@dataclass(frozen=True)
class Airflow:
    """An Airflow.

    Attributes:
        home: of Headrace's data; Airflow's is in it.
        where: what `[ingest]` says.
        command: `headrace`; None is that of the checkout.
    """

    home: Path
    where: str
    command: str | None = None
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
                "AIRFLOW__CORE__DAGS_FOLDER": str(_ROOT / "orchestration/dags"),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "HEADRACE_FOLDER": str(self.home),
                "HEADRACE_HOME": str(self.home),
                "HEADRACE_INGEST": self.where,
            },
        )

    def prepare(self, like: Path | None = None) -> None:
        """Give it a database with the pool: a new one, or a copy of what another one was given.

        Args:
            like: the home of that one.
        """
        empty = self.home / "empty.db"
        database = self.home / "airflow/airflow.db"
        if like is None:
            self.run("db", "migrate")
            self.run("pools", "import", str(_ROOT / "orchestration/dags/pools.json"))
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

    def test(self, days: Sequence[date]) -> str:
        """Run days one by one, by `dag.test`; what was told."""
        done = self._ended(str(_BIN / "python"), str(_DAYS), DAILY, *map(str, days))
        assert done.returncode == 0, (done.stdout[-4000:], done.stderr[-4000:])
        return done.stderr

    def _ended(self, *line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            line, env=self.environ, cwd=self.home, capture_output=True, text=True, check=False
        )

    @contextmanager
    def scheduling(self) -> Iterator[None]:
        """Have its scheduler at work, as `make airflow` starts it."""
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
                yield
            finally:
                shown.terminate()
                shown.wait()

    def states(self, kind: str) -> Counter[str]:
        """How many runs of a kind, such as backfill, are in which state."""
        query = "SELECT state FROM dag_run WHERE dag_id = ? AND run_type = ?"
        return Counter(state for (state,) in self._asked(query, DAILY, kind))

    def _asked(self, query: str, *values: str) -> list[tuple[str, ...]]:
        place = self.home / "airflow/airflow.db"
        with closing(sqlite3.connect(place, timeout=60)) as database:
            return database.execute(query, values).fetchall()
