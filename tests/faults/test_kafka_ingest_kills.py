"""An ingest from Kafka that is killed anywhere and run again leaves the tables of one clean run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Any

from headrace_batch.ingest import topic_run
from headrace_batch.ingest.covered import covered_offsets
from headrace_batch.ingest.topic_report import TopicReport
from headrace_batch.warehouse import Warehouse
from headrace_schemas.settings import Settings
from headrace_schemas.topics import Topic
from headrace_streaming.kafka.topics import create_topics
from ingestion import fraud_project, settings_in, stored, transaction
from programs import started
from streams import broker_in, send

if TYPE_CHECKING:
    import pytest
    from pyspark.sql import SparkSession

TABLES = ("bronze.transactions", "quarantine.transactions")
BATCH = 40
RECORDS = 400
KILLED = -signal.SIGKILL

# Takes a topic in by small micro-batches; dies before or after the n-th commit, if n isn't 0.
CHILD = """
import os, signal, sys
from pathlib import Path
from headrace_batch.ingest import appending, topic_run
from headrace_features.project import load_project
from headrace_schemas.settings import load

home, servers, batch, fatal, moment = sys.argv[1:]
topic_run.BATCH_RECORDS = int(batch)
write, commits = appending.write_deltalake, 0

def die(now):
    if commits == int(fatal) and moment == now:
        os.killpg(0, signal.SIGKILL)

def dying(*arguments, **options):
    global commits
    if not commits:
        print("begun", flush=True)
    commits += 1
    die("before")
    write(*arguments, **options)
    die("after")

appending.write_deltalake = dying
settings = load(Path(home), {**os.environ, "HEADRACE_HOME": home + "/.headrace"})
kafka = {"bootstrap.servers": servers}
topic_run.ingest_topics(settings, load_project(settings), kafka, source="transactions")
"""


def records() -> Iterator[tuple[str, bytes]]:
    """Good records, copies that come later, and bad ones; those of a key have one partition."""
    for number in range(RECORDS):
        row = transaction(number if number % 9 else number // 2)
        yield str(row["card_id"]), b"{}" if number % 13 == 0 else json.dumps(row).encode()


def take(settings: Settings, kafka: Mapping[str, str]) -> TopicReport:
    project = fraud_project(settings)
    (report,) = topic_run.ingest_topics(settings, project, kafka, source="transactions").sources
    return report


def contents(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    return {table: stored(settings, table) for table in TABLES}


def test_killed_again_and_again_the_tables_are_those_of_a_clean_run(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del spark
    monkeypatch.setattr(topic_run, "BATCH_RECORDS", BATCH)
    chance = random.Random(3)
    clean, killed = settings_in(tmp_path / "clean"), settings_in(tmp_path / "killed")
    killed.home.mkdir(parents=True)
    with broker_in(tmp_path / "broker") as kafka:
        create_topics(kafka, [Topic("transactions", key="card_id")])
        send(kafka, "transactions", records())
        whole = take(clean, kafka)
        assert whole.ingested + whole.duplicates + whole.rejected_rows == RECORDS
        assert min(whole.ingested, whole.duplicates, whole.rejected_rows) > 10
        source = fraud_project(clean).source("transactions")

        reached = 0
        # After rejected records and before the events beside them; before others; then any time.
        places = [(1, "after"), (3, "before"), (0, "never"), (0, "never")]
        for fatal, moment in places:
            servers = kafka["bootstrap.servers"]
            told = (tmp_path / "killed", servers, BATCH, fatal, moment)
            with started(CHILD, *told, stdout=PIPE, stderr=DEVNULL) as child:
                assert child.stdout is not None
                assert child.stdout.readline() == "begun\n"
                if not fatal:
                    with suppress(subprocess.TimeoutExpired):
                        child.wait(chance.uniform(0.0, 1.0))
                    with suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
                assert child.wait(120) == KILLED
            covered = sum(covered_offsets(Warehouse.of(killed), source).values())
            assert reached <= covered < RECORDS
            reached = covered
            for table, rows in contents(killed).items():
                assert set(rows) <= set(contents(clean)[table])
                assert len(rows) == len(set(rows))

        assert reached > 0
        last = take(killed, kafka)
        assert last.rows == RECORDS - reached
        assert contents(killed) == contents(clean)
        assert last.covered == whole.covered
        assert take(killed, kafka).rows == 0
