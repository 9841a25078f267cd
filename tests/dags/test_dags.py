"""The DAGs as Airflow reads them: tasks, order, days, and what each may take."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, CronDataIntervalTimetable
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError
from airflow.serialization.encoders import coerce_to_core_timetable

from dags.dag_folder import DAGS, ROOT, Dags

DAILY = {
    "ingest_transaction_labels": set(),
    "ingest_transactions": set(),
    "backfill_card_activity": {"ingest_transactions"},
    "materialize_card_activity": {"backfill_card_activity"},
    "probe_card_activity": {"materialize_card_activity"},
    "backfill_terminal_risk": {"ingest_transaction_labels"},
    "materialize_terminal_risk": {"backfill_terminal_risk"},
    "probe_terminal_risk": {"materialize_terminal_risk"},
}


def upstream(dag: DAG) -> dict[str, set[str]]:
    return {task.task_id: set(task.upstream_task_ids) for task in dag.tasks}


def test_the_folder_has_the_runs_of_the_project(dags: Dags) -> None:
    assert upstream(dags["daily_features"]) == DAILY
    assert upstream(dags["kappa_replay"]) == {
        "replay": set(),
        "parity": {"replay"},
        "approve": {"parity"},
        "promote": {"approve"},
    }
    assert upstream(dags["maintenance"]) == {
        "lake": set(),
        "topics": set(),
        "checkpoints": set(),
        "report": {"lake", "topics", "checkpoints"},
    }
    assert upstream(dags["training_set"]) == {
        "spine_fraud_training": set(),
        "features_fraud_training": {"spine_fraud_training"},
        "shards_fraud_training": {"features_fraud_training"},
    }


def test_airflow_needs_no_engine_and_nothing_of_headrace(dags: Dags) -> None:
    assert dags
    heavy = ("pyspark", "pyflink", "feast", "great_expectations", "pyarrow", "headrace_schemas")
    for name in heavy:
        assert importlib.util.find_spec(name) is None, name
        assert name not in sys.modules, name


def test_a_run_has_the_day_that_ends_when_it_is_due(dags: Dags) -> None:
    from headrace_factory.build import day_of

    timetable = dags["daily_features"].timetable
    assert isinstance(timetable, CronDataIntervalTimetable)
    due = datetime(2018, 4, 10, tzinfo=UTC)
    interval = coerce_to_core_timetable(timetable).infer_manual_data_interval(run_after=due)
    assert (interval.start, interval.end) == (due - timedelta(days=1), due)
    scheduled, by_hand = interval.start, due + timedelta(hours=10)
    assert day_of(scheduled, interval.start) == "2018-04-09"
    assert day_of(by_hand, interval.start) == "2018-04-09"
    with pytest.raises(AirflowFailException, match="this run has no day"):
        day_of(None, None)


def test_a_run_by_hand_has_the_day_of_the_scheduled_one_of_its_logical_date(dags: Dags) -> None:
    from headrace_factory.build import day_of

    timetable = coerce_to_core_timetable(dags["daily_features"].timetable)
    midnight = datetime(2018, 4, 9, tzinfo=UTC)
    interval = timetable.infer_manual_data_interval(run_after=midnight)
    assert day_of(midnight, interval.start) == "2018-04-09"


def test_each_task_has_a_place_in_the_pool_a_timeout_and_retries(dags: Dags) -> None:
    pools = json.loads((DAGS / "pools.json").read_text())
    for dag in dags.values():
        for task in dag.tasks:
            if isinstance(task, ApprovalOperator):
                assert task.response_timeout == timedelta(days=7)
                continue
            assert 1 <= task.pool_slots <= pools[task.pool]["slots"]
            assert timedelta(minutes=10) < task.execution_timeout <= timedelta(days=1)
            assert (task.retries, task.retry_delay) == (6, timedelta(minutes=2))
            assert task.max_retry_delay == timedelta(hours=1)
    busy = {task.task_id for task in dags["daily_features"].tasks if task.pool_slots == 2}
    assert {name.partition("_")[0] for name in busy} == {"backfill", "materialize"}


def test_days_are_one_after_the_other_and_late_ones_are_told(dags: Dags) -> None:
    daily = dags["daily_features"]
    assert (daily.max_active_runs, daily.catchup) == (1, False)
    assert all(task.depends_on_past for task in daily.tasks)
    (deadline,) = daily.deadline if isinstance(daily.deadline, list) else [daily.deadline]
    assert deadline.interval == timedelta(hours=6)
    assert importlib.import_module("headrace_factory.late").tell
    assert deadline.callback.path == "headrace_factory.late.tell"
    assert not any(task.depends_on_past for task in dags["kappa_replay"].tasks)


def test_commands_take_the_day_of_their_run(dags: Dags) -> None:
    task = dags["daily_features"].get_task("materialize_card_activity")
    assert task.arguments == [
        *("materialize", "--view", "card_activity"),
        *("--date", "{{ day_of(logical_date, data_interval_start) }}"),
    ]
    assert task.command == str(ROOT / ".venv/bin/headrace")
    promote = dags["kappa_replay"].get_task("promote")
    assert promote.arguments == [
        *("promote", "{{ params.view }}", "--version", "{{ params.version }}", "{accept}"),
    ]
    assert promote.lists == {"{accept}": "accept"}


def test_tasks_tell_which_tables_they_read_and_write(dags: Dags) -> None:
    daily = dags["daily_features"]
    (table,) = daily.get_task("ingest_transactions").outlets
    assert table.name == "fraud.bronze.transactions"
    assert table.uri.endswith("/warehouse/bronze/transactions")
    assert daily.get_task("backfill_card_activity").inlets == [table]
    (online,) = daily.get_task("materialize_card_activity").outlets
    assert online.uri == "headrace://fraud/online/card_activity"


def test_a_version_waits_for_somebody_who_has_seen_the_comparison(dags: Dags) -> None:
    dag = dags["kappa_replay"]
    approve = dag.get_task("approve")
    assert isinstance(approve, ApprovalOperator)
    assert "xcom_pull(task_ids='parity')" in approve.body
    assert dag.get_task("parity").reports
    assert dag.params.get_param("view").schema["enum"] == ["card_activity", "terminal_risk"]
    asked = copy.deepcopy(dag.params)
    asked.update({"view": "card_activity", "version": 2})
    asked.validate()
    for name, wrong in (("view", "cards"), ("version", 0), ("accept", "count_1h")):
        with pytest.raises(ParamValidationError):
            copy.deepcopy(asked)[name] = wrong


def test_what_computes_is_submitted_to_a_cluster_that_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

    from headrace_factory.build import dags_of

    monkeypatch.setenv("HEADRACE_ENGINE_DEFAULT", "spark")
    monkeypatch.setenv("HEADRACE_SPARK_MASTER", "spark://head:7077")
    daily = dags_of(tmp_path, prefix="other_")["other_daily_features"]
    submitted = {t.task_id: t for t in daily.tasks if isinstance(t, SparkSubmitOperator)}
    kinds = {"ingest", "backfill", "materialize"}
    assert {name for name in DAILY if name.partition("_")[0] in kinds} == set(submitted)
    backfill = submitted["backfill_card_activity"]
    assert Path(backfill.application).name == "submitted.py"
    assert backfill.application_args[:3] == ["backfill", "--view", "card_activity"]
    assert (backfill.pool, backfill.retries) == ("headrace", 6)


def test_an_environment_without_airflow_says_in_one_line_what_to_do() -> None:
    done = subprocess.run(
        [str(ROOT / ".venv/bin/python"), str(DAGS / "headrace_runs.py")],
        capture_output=True,
        text=True,
        env={name: text for name, text in os.environ.items() if not name.startswith("AIRFLOW")},
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "there is no Airflow in this environment, which has one of its own: make airflow-setup,"
        " then .airflow-venv/bin/airflow\n"
    )
