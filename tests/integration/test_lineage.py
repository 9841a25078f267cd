"""The lineage of what is served leads back to exactly the records of the topic it was made of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import SPARK
from headrace_batch.ingest.run import ingest
from headrace_batch.ingest.topic_report import TopicReport
from headrace_batch.ingest.topic_run import ingest_topics
from headrace_batch.materialize import materialize_view
from headrace_batch.warehouse import Warehouse
from headrace_features.engines import load_engine
from headrace_features.online.served import view_key
from headrace_orchestration.lineage.graph import graph_of
from headrace_orchestration.lineage.runs import read_events, runs_of
from headrace_orchestration.lineage.served import served
from headrace_schemas.settings import Settings, load
from headrace_schemas.topics import Topic
from headrace_streaming.kafka.topics import create_topics
from ingestion import (
    HOUR_MS,
    START_MS,
    fraud_project,
    settings_in,
    transactions,
    write_json_lines,
)
from lakes import unwatched
from lineage_events import recorded_events, told
from streams import broker_in, headrace, received, send_events

#: The cards of seven; this one has the events with the numbers 3, 10, 17 and so on.
CARD = "card-3"


@dataclass(frozen=True)
class Story:
    """A lake that was served when it had some of the topic, and got the rest afterwards.

    Attributes:
        settings: of its home.
        environ: the same, for the command.
        reports: of the two ingests.
        places: of each event of the topic its partition and offset.
        file: what came in a file.
    """

    settings: Settings
    environ: Mapping[str, str]
    reports: tuple[TopicReport, TopicReport]
    places: Mapping[str, tuple[int, int]]
    file: Path

    def lineage(self, *arguments: str) -> dict[str, Any]:
        """What the command tells programs."""
        done = self.run(*arguments, "--json")
        found: dict[str, Any] = json.loads(done)
        return found

    def run(self, *arguments: str) -> str:
        """What the command prints."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("headrace")), "lineage", *arguments],
            cwd=self.settings.home,
            env={**os.environ, **self.environ},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("home")
    with broker_in(tmp_path_factory.mktemp("broker")) as kafka:
        environ = {
            **SPARK,
            "HEADRACE_HOME": str(home),
            "HEADRACE_KAFKA_BOOTSTRAP_SERVERS": kafka["bootstrap.servers"],
        }
        yield told_story(load(home, environ), environ, kafka)


def told_story(settings: Settings, environ: Mapping[str, str], kafka: Mapping[str, str]) -> Story:
    project = fraud_project(settings)
    view = project.view("card_activity")
    create_topics(kafka, [Topic("transactions", key="card_id", partitions=3)])
    file = write_json_lines(settings.home / "old.jsonl", transactions(0, 5))
    ingest(settings, project, str(file), source="transactions")

    def taken(first: int, after: int) -> TopicReport:
        send_events(kafka, "transactions", "card_id", transactions(first, after))
        return ingest_topics(settings, project, kafka, source="transactions").sources[0]

    first = taken(5, 60)
    load_engine("local", settings).backfill(view, date(2018, 4, 1), date(2018, 4, 3))
    materialize_view(settings, view, date(2018, 4, 2), unwatched)
    spine = pa.table({"card_id": [CARD], "event_time": [START_MS + 50 * HOUR_MS]})
    pq.write_table(spine, settings.home / "spine.parquet")
    asked, out = project.select(["card_activity:count_30d"]), settings.home / "features.parquet"
    load_engine("local", settings).history_file(asked, f"{settings.home}/spine.parquet", str(out))
    second = taken(60, 90)
    places = {
        json.loads(one.value() or b"")["transaction_id"]: (one.partition(), one.offset())
        for one in received(kafka, "transactions", 85)
    }
    return Story(settings, environ, (first, second), places, file)  # type: ignore[arg-type]


def test_of_a_topic_that_the_lake_has_nothing_of_just_that_is_told(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.home.mkdir()
    file = write_json_lines(tmp_path / "old.jsonl", transactions(0, 5))
    ingest(settings, fraud_project(settings), str(file), source="transactions")
    shown = headrace(settings.home, "lineage", "card_activity:count_30d").stdout
    (topic,) = [line for line in shown.splitlines() if "topic transactions" in line]
    assert topic.endswith("; declared, nothing of it is in the lake)")


def test_of_many_files_it_says_how_many_more_there_are(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    project = fraud_project(settings)
    settings.home.mkdir()
    for number in range(12):
        rows = transactions(number, number + 1)
        file = write_json_lines(settings.home / f"{number}.jsonl", rows)
        ingest(settings, project, str(file), source="transactions")
    view = project.view("card_activity")
    load_engine("local", settings).backfill(view, date(2018, 4, 1), date(2018, 4, 2))
    materialize_view(settings, view, date(2018, 4, 1), unwatched)
    shown = headrace(settings.home, "lineage", "card_activity:count_30d").stdout
    told = [line for line in shown.splitlines() if "batch: " in line]
    assert len([line for line in told if "batch: file " in line]) == 10
    assert any(line.endswith("batch: and 2 files more: --json has all") for line in told)


@pytest.mark.usefixtures("spark")
class TestLineage:
    """All of it is told of one story."""

    def test_a_served_value_leads_back_to_the_offsets_that_its_layer_was_made_of(
        self, story: Story
    ) -> None:
        batch = story.lineage("card_activity:count_30d")["served"]["batch"]
        covered = story.reports[0].covered
        assert batch["offsets"] == {str(number): [0, end] for number, end in covered.items()}
        assert sum(covered.values()) == 55
        assert [one["file"] for one in batch["files"]] == [str(story.file)]

    def test_where_the_logs_no_longer_tell_the_recorded_run_does(
        self, story: Story, tmp_path: Path
    ) -> None:
        home = Path(shutil.copytree(story.settings.home, tmp_path / "home"))
        moved = load(home, {**story.environ, "HEADRACE_HOME": str(home)})
        view = fraud_project(moved).view("card_activity")
        events = read_events(story.settings.lineage.path)
        text = json.dumps(list(events)).replace(str(story.settings.home), str(home))
        graph = graph_of(runs_of(json.loads(text)))
        before = served(moved, graph, view)
        shutil.rmtree(Warehouse.of(moved).uri("tiles.card_activity_v1"))
        after = served(moved, graph, view)
        assert before.batch is not None
        assert after.batch is not None
        assert (after.batch.tiles, before.batch.tiles) == (None, "tiles.card_activity_v1")
        assert after.batch.events_version == before.batch.events_version
        assert after.batch.offsets == before.batch.offsets

    def test_its_table_of_events_has_all_that_was_taken_in_since(self, story: Story) -> None:
        (events,) = story.lineage("card_activity:count_30d")["upstream"]
        kinds = {one["kind"]: one for one in events["following"]}
        covered = story.reports[1].covered
        assert kinds["topic"]["offsets"] == {str(n): [0, end] for n, end in covered.items()}
        assert kinds["file"]["name"] == str(story.file)
        jobs = {run["job"] for run in events["runs"]}
        assert jobs == {"fraud.ingest.transactions"}
        assert events["columns"] == {
            "card_id": ["grouped: by card"],
            "event_time": ["window: 30d"],
        }

    def test_the_value_of_an_entity_is_made_of_these_records_and_no_others(
        self, story: Story
    ) -> None:
        as_of = START_MS + 80 * HOUR_MS
        asked = ("--entity", f"card_id={CARD}", "--as-of", str(as_of))
        used = story.lineage("card_activity:count_30d", *asked)["events"]
        expected = [f"tx-{number}" for number in range(3, 81, 7)]
        assert [one["key"] for one in used] == expected
        found = {one["key"]: (one["partition"], one["offset"]) for one in used}
        assert found == {key: story.places.get(key, (None, None)) for key in expected}
        # What came after the layer's boundary readers don't have: no stream is there.
        layers = {one["key"]: one["layer"] for one in used}
        assert layers == {
            f"tx-{number}": "batch" if number < 48 else "none" for number in range(3, 81, 7)
        }

    def test_it_goes_to_the_tables_services_rules_and_features_made_of_it(
        self, story: Story
    ) -> None:
        below = story.lineage("card_activity:amount_minor_mean_30d")["downstream"]
        found = {(one["kind"], one["name"]): one for one in below}
        key = view_key(fraud_project(story.settings).view("card_activity"))
        (run,) = found["online store", key]["runs"]
        assert (run["job"], run["state"]) == ("fraud.materialize.card_activity", "COMPLETE")
        (run,) = found["table", "features.card_activity_v1"]["runs"]
        assert run["job"] == "fraud.backfill.card_activity"
        assert found["decisions", "fraud"]["rules"] == ["amount_outlier"]
        assert {name for kind, name in found if kind == "service"} == {"fraud", "fraud_scoring"}

    def test_people_are_told_the_same_in_a_tree(self, story: Story) -> None:
        told = story.run("card_activity:count_30d")
        end, number = max((end, number) for number, end in story.reports[0].covered.items())
        assert told.startswith("card_activity:count_30d, int64, version 1, owner fraud\n")
        (offsets,) = [line for line in told.splitlines() if "batch: offsets" in line]
        assert f"0 to {end - 1} of partition {number}" in offsets
        assert "topic transactions (namespace kafka://127.0.0.1:" in told

    def test_every_step_has_told_of_itself_by_openlineage(self, story: Story) -> None:
        events = recorded_events(story.settings.lineage.path)
        ended = [one for one in events if one["eventType"] == "COMPLETE"]
        assert [one["job"]["name"] for one in ended] == [
            "fraud.ingest.transactions",
            "fraud.ingest.transactions",
            "fraud.backfill.card_activity",
            "fraud.materialize.card_activity",
            "fraud.history",
            "fraud.ingest.transactions",
        ]
        file, topic, backfill, layer, history, again = ended
        assert {one["name"] for one in history["inputs"]} == {
            str(story.settings.home / "spine.parquet"),
            topic["outputs"][0]["name"],
        }
        assert told(history, "schema")["fields"] == [
            {"name": "card_activity__count_30d", "type": "int64", "fields": []}
        ]
        assert file["inputs"][0]["name"] == str(story.file)
        table = topic["outputs"][0]
        assert told(again, "headrace_offsets", "inputs")["partitions"] == {
            str(number): {"first": first, "before": story.reports[1].covered[number]}
            for number, first in story.reports[0].covered.items()
        }
        assert (table["namespace"], table["name"]) == (
            "file",
            Warehouse.of(story.settings).uri("bronze.transactions"),
        )
        assert backfill["inputs"][0]["name"] == layer["inputs"][0]["name"] == table["name"]
        assert told(layer, "version", "inputs") == told(topic, "version")
        assert told(layer, "headrace_facts", number=1)["facts"]["generation"] == 1
        columns = told(backfill, "columnLineage")["fields"]["country_distinct_1d"]["inputFields"]
        assert {one["field"] for one in columns} == {"country", "card_id", "event_time"}
