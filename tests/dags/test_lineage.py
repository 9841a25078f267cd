"""Airflow tells of its runs by OpenLineage, and commands know of which task they are part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from dags.dag_folder import DAGS
from headrace_factory.lineage import driver_environment, run_above

_AIRFLOW = str(Path(sys.executable).with_name("airflow"))
_DAG = """
import sys
from datetime import UTC, datetime

from airflow.sdk import DAG

sys.path.append({dags!r})
from headrace_factory.operators import HeadraceOperator

with DAG("daily", schedule=None, start_date=datetime(2018, 4, 1, tzinfo=UTC)):
    HeadraceOperator(task_id="ingest", command={command!r}, folder="/", arguments=[])
"""


def test_a_command_knows_the_task_that_airflow_tells_of_and_the_run_of_its_dag(
    script: Callable[[str], str], tmp_path: Path
) -> None:
    told, folder = tmp_path / "airflow.ndjson", tmp_path / "dags"
    folder.mkdir()
    command = script(f"echo $OPENLINEAGE_PARENT_ID $OPENLINEAGE_ROOT_PARENT_ID >{tmp_path}/above")
    (folder / "daily.py").write_text(_DAG.format(dags=str(DAGS), command=command))
    transport = {"type": "file", "log_file_path": str(told), "append": True}
    environ = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "airflow",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
    }
    for line in (("db", "migrate"), ("dags", "test", "daily", "2018-04-02")):
        done = subprocess.run([_AIRFLOW, *line], env=environ, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    events = [json.loads(line) for line in told.read_text().splitlines()]
    runs = {event["job"]["name"]: event["run"]["runId"] for event in events}
    assert runs.keys() == {"daily", "daily.ingest"}
    assert (tmp_path / "above").read_text().split() == [
        f"airflow/daily.ingest/{runs['daily.ingest']}",
        f"airflow/daily/{runs['daily']}",
    ]


def test_where_airflow_tells_nobody_there_is_no_parent() -> None:
    # The tests' own Airflow has no transport.
    assert run_above({"ti": object()}) == {}
    assert run_above({}) == {}


def test_a_driver_elsewhere_is_told_by_properties_of_spark() -> None:
    assert driver_environment({"A": "b"}) == {
        "spark.yarn.appMasterEnv.A": "b",
        "spark.kubernetes.driverEnv.A": "b",
    }
    assert driver_environment({}) == {}
