"""Spark itself tells of its jobs where a project asks for it, in the same graph as our steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import SPARK
from headrace_batch.spark_lineage import listener_conf, listener_jars
from headrace_batch.warehouse import Warehouse
from headrace_features.lineage.places import file_place
from headrace_orchestration.lineage.graph import graph_of
from headrace_orchestration.lineage.runs import Job, read_events, runs_of
from headrace_schemas.settings import load
from ingestion import transactions
from ingestion import write_json_lines as write
from lineage_events import recorded_events
from lineage_server import lineage_server


def headrace(home: Path, *arguments: str, **environ: str) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("headrace")), *arguments],
        cwd=home,
        env={**os.environ, **SPARK, "HEADRACE_HOME": str(home), **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_backfill_on_spark_is_told_by_spark_too_as_part_of_our_run(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", transactions(0, 40))
    headrace(tmp_path, "ingest", "--file", "events.jsonl", "--source", "transactions")
    with lineage_server() as server:
        environ = {
            "HEADRACE_LINEAGE_SPARK_LISTENER": "on",
            "HEADRACE_LINEAGE_URL": server.url,
            "HEADRACE_LINEAGE_OPTIONS": json.dumps({"auth.type": "api_key", "auth.apiKey": "hush"}),
        }
        options = ("--view", "card_activity", "--engine", "spark")
        headrace(tmp_path, "backfill", *options, **environ)
    settings = load(tmp_path, {"HEADRACE_HOME": str(tmp_path)})
    recorded_events(settings.lineage.path)
    graph = graph_of(runs_of(read_events(settings.lineage.path)))
    warehouse = Warehouse.of(settings)
    table = file_place(warehouse.uri("features.card_activity_v1"))
    runs = graph.writers[table]
    ours = runs[Job("headrace", "fraud.backfill.card_activity")]
    (spark,) = [run for run in runs.values() if run.job != ours.job]
    assert set(spark.reads) == set(ours.reads) == {file_place(warehouse.uri("bronze.transactions"))}
    # Spark's job belongs to its application, and that to our run.
    by_id = {run.run: run for run in runs_of(read_events(settings.lineage.path))}
    assert spark.parent is not None
    assert by_id[spark.parent[1]].parent == (ours.job, ours.run)
    sent = {event["job"]["name"] for event in server.events}
    assert {ours.job.name, spark.job.name} <= sent
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer hush"}


def test_without_being_asked_for_spark_is_told_nothing_and_gets_no_jar(tmp_path: Path) -> None:
    lineage = load(tmp_path, {}).lineage
    assert (listener_conf(lineage), listener_jars(lineage)) == ({}, ())
