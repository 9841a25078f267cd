"""How a command ends decides what becomes of its task."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from headrace_factory.operators import HeadraceOperator, spark_operator

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv" / "bin"
#: The rows of a feature table, as an environment that can read it prints them.
ROWS = """
import os
from pathlib import Path
from headrace_batch.warehouse import Warehouse
from headrace_schemas.settings import load

table = Warehouse.of(load(Path.cwd(), os.environ)).read("features.card_activity_v1")
print(table.sort_by("transaction_id").to_pylist())
"""
Script = Callable[[str], str]


def operator(command: str, *arguments: str, **options: Any) -> HeadraceOperator:
    return HeadraceOperator(
        task_id="task", command=command, folder="/", arguments=arguments, **options
    )


def test_a_command_that_ends_well_has_done_the_task(script: Script, tmp_path: Path) -> None:
    command = script(f'echo "$@" > {tmp_path}/told')
    assert operator(command, "ingest", "--date", "2018-04-09").execute({"params": {}}) is None
    assert (tmp_path / "told").read_text() == "ingest --date 2018-04-09\n"


@pytest.mark.parametrize(
    "end", ["exit 75", "kill -KILL $$", "kill -TERM $$", "exit 137", "exit 130"]
)
def test_what_may_work_later_or_was_killed_is_tried_again(end: str, script: Script) -> None:
    with pytest.raises(AirflowException) as failed:
        operator(script(f"echo 'headrace: not now'; {end}")).execute({"params": {}})
    assert not isinstance(failed.value, AirflowFailException)
    assert str(failed.value) == "headrace: not now"


@pytest.mark.parametrize("status", [1, 2, 65, 70, 78])
def test_any_other_error_fails_for_good_with_its_line(status: int, script: Script) -> None:
    command = script(f"echo ok; echo 'headrace: bad data' >&2; exit {status}")
    with pytest.raises(AirflowFailException, match=r"^headrace: bad data$"):
        operator(command).execute({"params": {}})


def test_a_report_is_the_result_though_it_is_to_be_judged(script: Script) -> None:
    command = script("""echo '{'; echo '}'; echo 'headrace: it differs' >&2; exit 1""")
    assert operator(command, reports=True).execute({"params": {}}) == "{\n}"


def test_a_report_that_fails_does_so_with_the_last_line_of_its_errors(script: Script) -> None:
    # More than a pipe holds, on either side.
    told = (
        "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' y >&2; echo >&2"
    )
    command = script(f"{told}; echo 'headrace: no such view' >&2; exit 78")
    with pytest.raises(AirflowFailException, match=r"^headrace: no such view$"):
        operator(command, reports=True).execute({"params": {}})


def test_a_list_becomes_an_option_for_each_value(script: Script, tmp_path: Path) -> None:
    command = script(f'echo "$@" > {tmp_path}/told')
    accepting = operator(command, "promote", "{accept}", lists={"{accept}": "accept"})
    accepting.execute({"params": {"accept": ["count_1h", "b:c d"]}})
    assert (tmp_path / "told").read_text() == "promote --accept count_1h --accept b:c d\n"
    accepting.execute({"params": {"accept": []}})
    assert (tmp_path / "told").read_text() == "promote\n"


def test_a_task_that_is_stopped_ends_its_command(script: Script, tmp_path: Path) -> None:
    stopped = operator(script(f"touch {tmp_path}/began; exec sleep 600"))
    failures: list[BaseException] = []

    def execute() -> None:
        try:
            stopped.execute({"params": {}})
        except AirflowException as error:
            failures.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    while not (tmp_path / "began").exists():
        time.sleep(0.01)
    stopped.on_kill()
    thread.join(60)
    assert [type(failure) for failure in failures] == [AirflowException]


def test_modules_of_airflow_are_none_of_the_command_s(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/airflow")
    command = script('test -z "$PYTHONPATH"')
    assert operator(command).execute({"params": {}}) is None


@pytest.mark.parametrize(("status", "is_tried_again"), [(75, True), (137, True), (78, False)])
def test_a_command_on_spark_is_judged_by_its_status_as_well(
    status: int,
    is_tried_again: bool,  # noqa: FBT001 - a case
    script: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_SPARK_DEFAULT", '{"conn_type": "spark", "host": "spark://head"}'
    )
    # Both are put back afterwards.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/of/airflow")
    project = tmp_path / "project"
    project.mkdir()
    submitting = spark_operator()(
        task_id="task",
        folder=str(project),
        application="/submitted.py",
        application_args=["backfill", "--view", "a"],
        spark_binary=script(
            f'echo "$PYSPARK_PYTHON $@ $PYTHONPATH$PWD" > {tmp_path}/told; exit {status}'
        ),
        name="task",
        env_vars={"PYSPARK_PYTHON": "/python"},
    )
    with pytest.raises(AirflowException) as failed:
        submitting.execute({"params": {}})
    assert isinstance(failed.value, AirflowFailException) is not is_tried_again
    told = (tmp_path / "told").read_text()
    assert told.startswith("/python --master spark://head")
    assert told.endswith(f"/submitted.py backfill --view a {project}\n")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project with events in its lake, and a Spark on this machine."""
    folder = tmp_path / "project"
    folder.mkdir()
    # All are put back afterwards.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/of/airflow")
    monkeypatch.setenv("JAVA_HOME", str(ROOT / ".venv" / "jdk"))
    connection = {"conn_type": "spark", "host": "local[2]"}
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HEADRACE_FOLDER", raising=False)
    done(folder, "headrace", "simulate", "--rows", "300", "--out", "events")
    source = ("--source", "transactions")
    done(folder, "headrace", "ingest", "--file", "events/transactions.parquet", *source)
    return folder


def done(folder: Path, program: str, *arguments: str) -> str:
    """What a program of Headrace's environment says that does something in a folder."""
    told = subprocess.run(
        [str(BIN / program), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def submitting(project: Path, *arguments: str) -> Any:
    """A task as DAGs have it, on Headrace's own Spark."""
    return spark_operator()(
        task_id="task",
        folder=str(project),
        application=str(ROOT / "orchestration" / "headrace_orchestration" / "submitted.py"),
        application_args=list(arguments),
        spark_binary=str(BIN / "spark-submit"),
        name="task",
        env_vars={"PYSPARK_PYTHON": str(BIN / "python")},
    )


def test_a_command_that_is_submitted_does_what_it_does_in_a_process(project: Path) -> None:
    arguments = ("backfill", "--view", "card_activity", "--engine")
    submitting(project, *arguments, "spark").execute({"params": {}})
    submitted = done(project, "python", "-c", ROWS)
    assert submitted.count("transaction_id") == 300
    done(project, "headrace", *arguments, "local")
    assert done(project, "python", "-c", ROWS) == submitted


def test_a_mistake_in_a_command_that_is_submitted_fails_for_good(project: Path) -> None:
    with pytest.raises(AirflowFailException, match=r"Error code is: 78\b"):
        submitting(project, "backfill", "--view", "no_such_view").execute({"params": {}})
