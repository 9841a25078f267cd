"""The manifest of a staged set leads back to versions of tables, offsets of topics and files."""

from __future__ import annotations

import importlib.metadata
import platform
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from conftest import SPARK
from headrace_batch.ingest.run import ingest
from headrace_batch.ingest.topic_run import ingest_topics
from headrace_batch.staging.request import StageRequest
from headrace_batch.staging.splits import SplitRule
from headrace_batch.warehouse import Warehouse
from headrace_schemas.settings import load
from headrace_schemas.topics import Topic
from headrace_streaming.kafka.topics import create_topics
from ingestion import HOUR_MS, START_MS, fraud_project, transactions, write_json_lines
from staged_sets import manifest_at, staged
from streams import broker_in, headrace, received, send_events


def test_a_manifest_names_versions_offsets_files_software_and_seed(tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "set"
    home.mkdir()
    with broker_in(tmp_path / "broker") as kafka:
        servers = {"HEADRACE_KAFKA_BOOTSTRAP_SERVERS": kafka["bootstrap.servers"]}
        settings = load(home, {**SPARK, "HEADRACE_HOME": str(home), **servers})
        project = fraud_project(settings)
        create_topics(kafka, [Topic("transactions", key="card_id", partitions=3)])
        file = write_json_lines(home / "old.jsonl", transactions(0, 5))
        ingest(settings, project, str(file), source="transactions")
        send_events(kafka, "transactions", "card_id", transactions(5, 60))
        ingest_topics(settings, project, kafka, source="transactions")
        # What each partition has, by the broker itself, from 0 on; one has nothing.
        before = Counter(one.partition() for one in received(kafka, "transactions", 55))
    spine = pa.table({"card_id": ["card-3"] * 9, "event_time": [START_MS + 50 * HOUR_MS] * 9})
    pq.write_table(spine, home / "spine.parquet")
    asked = project.select(["card_activity:count_30d"])
    split = SplitRule(seed=23)
    staged(settings, StageRequest("cards", asked, f"{home}/spine.parquet", str(out), split=split))

    told = manifest_at(out).made_of
    (table,) = told["tables"]
    warehouse = Warehouse.of(settings)
    assert table == {
        "source": "transactions",
        "table": "bronze.transactions",
        "uri": warehouse.uri("bronze.transactions"),
        "version": warehouse.open("bronze.transactions").version(),
        "topic": "transactions",
        "offsets": {
            str(partition): {"first": 0, "before": before[partition]} for partition in range(3)
        },
        "files": [str(file)],
    }
    assert (sum(before.values()), len(before)) == (55, 2)
    assert told["software"] == {
        "python": platform.python_version(),
        **{
            name: importlib.metadata.version(name)
            for name in ("headrace", "numpy", "pyarrow", "pyspark")
        },
    }
    assert told["split"]["seed"] == 23
    shown = headrace(home, "shards", "show", str(out)).stdout
    offsets = ", ".join(
        f"transactions/{partition} before {one['before']}"
        for partition, one in table["offsets"].items()
    )
    version = table["version"]
    assert f"transactions: bronze.transactions as of version {version}, of {offsets}" in shown
