"""A declared training set, step by step and in one run: exact, idempotent, held to gates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headrace_batch.local_engine import LocalEngine
from headrace_batch.staging.declared import request_for, stage_set, write_set
from headrace_batch.staging.declared_spine import write_spine
from headrace_batch.staging.places import place_of
from headrace_batch.staging.target import Target
from headrace_batch.staging.verifying import verify
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.durations import DAY_MS
from headrace_features.fraud.definitions import fraud, fraud_scoring, fraud_training
from headrace_features.lineage.places import file_place
from headrace_features.project import load_project
from headrace_orchestration.lineage.downstream import feature_below
from headrace_orchestration.lineage.graph import graph_of
from headrace_orchestration.lineage.nodes import Node, recorded_above
from headrace_orchestration.lineage.runs import read_events, runs_of
from headrace_schemas.errors import ConfigurationError, GateError, RetryableError
from headrace_schemas.settings import Settings
from staged_sets import DAY, END_MS, LAST, made, manifest_at


def expected_spine(settings: Settings) -> pa.Table:
    """The labelled transactions, put together without what is tested."""
    warehouse = Warehouse.of(settings)
    events = warehouse.read("bronze.transactions")
    labels = warehouse.read(
        "bronze.transaction_labels", ["transaction_id", "is_fraud", "reported_at"]
    )
    known = labels.filter(pc.less(labels["reported_at"], END_MS))
    mine = events.filter(pc.less_equal(events["event_date"], pa.scalar(LAST)))
    return mine.join(known, "transaction_id", join_type="inner")


def test_a_row_is_a_labelled_event_with_the_features_of_its_time(lake: Settings) -> None:
    made(lake, DAY)
    table = Warehouse.of(lake).read("training.fraud_training")
    kept = fraud_training.column_types
    spine = expected_spine(lake).select([name for name in kept if "__" not in name])
    expected = LocalEngine(lake).history(fraud_scoring.asked, spine)
    found = table.sort_by("transaction_id").select(expected.column_names)
    assert found.to_pylist() == expected.sort_by("transaction_id").to_pylist()
    assert len(found) > 500
    assert pc.max(table["event_date"]).as_py() == LAST
    assert sorted(table["row"].to_pylist()) == list(range(len(table)))


def test_shards_are_those_of_the_table_and_bear_to_be_verified(lake: Settings) -> None:
    report = made(lake, DAY)
    assert sum(report.rows.values()) == len(Warehouse.of(lake).read("training.fraud_training"))
    assert set(report.rows) == {"train", "valid", "test", "holdout"}
    target = Target(place_of(lake, "fraud_training"))
    manifest = manifest_at(target.place)
    told = verify(lake, load_project(lake), target, manifest, 300)
    assert (told.problems, told.compared) == ((), 300)
    rule = request_for(lake, fraud_training, DAY).split
    assert rule.test_from == END_MS - 7 * DAY_MS - 7 * DAY_MS
    assert manifest.made_of["spine"]["table"] == "spines.fraud_training"
    assert {one["table"] for one in manifest.made_of["tables"]} == {
        "bronze.transactions",
        "bronze.transaction_labels",
    }
    columns = {column for part in manifest.layout.parts for column in part.columns}
    assert not {"label_known_at", "transaction_id"} & columns


def test_the_same_day_again_is_the_same_set_and_another_day_takes_its_place(
    lake: Settings,
) -> None:
    first = made(lake, DAY)
    again = stage_set(lake, load_project(lake), fraud_training, DAY, "local", lambda _: None)
    assert (again.was_there, again.set_id) == (True, first.set_id)
    place = place_of(lake, "fraud_training")
    before = manifest_at(place)
    made(lake, DAY)
    assert manifest_at(place).digest == before.digest
    later = made(lake, DAY + timedelta(1))
    assert sum(later.rows.values()) > sum(first.rows.values())


def test_the_set_of_a_later_day_stays_unless_it_is_asked_for(lake: Settings) -> None:
    place = place_of(lake, "fraud_training")
    made(lake, DAY + timedelta(1))
    newer = manifest_at(place)
    assert newer.made_of["day"] == "2018-04-27"
    project = load_project(lake)
    write_spine(lake, project, fraud_training, DAY)
    write_set(lake, fraud_training, DAY, "local")
    with pytest.raises(
        ConfigurationError, match=r"are of 2018-04-27, and these are of 2018-04-26 .*--over-newer"
    ):
        stage_set(lake, project, fraud_training, DAY, "local", lambda _: None)
    assert manifest_at(place) == newer
    asked = made(lake, DAY)
    again = stage_set(lake, project, fraud_training, DAY, "local", lambda _: None)
    assert (again.was_there, again.set_id) == (True, asked.set_id)
    later = made(lake, DAY + timedelta(1))
    assert later.rows == {name: newer.rows(name) for name in newer.splits}


def test_no_set_is_published_whose_rows_are_not_those_of_history(
    own_lake: Settings,
) -> None:
    settings = own_lake
    made(settings, DAY)
    place = place_of(settings, "fraud_training")
    before = manifest_at(place)
    project = load_project(settings)
    following = DAY + timedelta(1)
    write_spine(settings, project, fraud_training, following)
    write_set(settings, fraud_training, following, "local")
    # Somebody changes a feature by hand.
    table = Warehouse.of(settings).open("training.fraud_training")
    table.update(new_values={"card_activity__count_30d": 77})
    with pytest.raises(GateError, match=r"of the sample differ in x .*\(nothing was published"):
        stage_set(settings, project, fraud_training, following, "local", lambda _: None)
    assert manifest_at(place) == before


def test_no_set_is_published_that_lacks_rows_of_its_spine(own_lake: Settings) -> None:
    settings = own_lake
    labelled = expected_spine(settings)["transaction_id"].to_pylist()[:3]
    names = ", ".join(f"'{name}'" for name in labelled)
    Warehouse.of(settings).open("bronze.transaction_labels").delete(f"transaction_id IN ({names})")
    # Of events without a label a set says how many there are: they are none of its spine.
    made(settings, DAY)
    place = place_of(settings, "fraud_training")
    before = manifest_at(place)
    assert before.made_of["rows_left_out"]["unlabelled"] == 3
    project = load_project(settings)
    following = DAY + timedelta(1)
    write_spine(settings, project, fraud_training, following)
    rows = write_set(settings, fraud_training, following, "local").rows
    # Somebody deletes rows by hand; what the table says that it was made of stays.
    Warehouse.of(settings).open("training.fraud_training").delete("row < 5")
    with pytest.raises(
        GateError, match=rf": 5 of {rows:,} rows are missing .*\(nothing was published"
    ):
        stage_set(settings, project, fraud_training, following, "local", lambda _: None)
    assert manifest_at(place) == before


def test_spark_makes_the_same_rows_and_shards(lake: Settings, spark: object) -> None:
    del spark
    made(lake, DAY)
    place = place_of(lake, "fraud_training")
    here = manifest_at(place)
    made(lake, DAY, "spark")
    there = manifest_at(place)
    assert there.digest == here.digest
    assert there.made_of["engine"] == "spark"


def test_steps_of_different_days_do_not_go_together(lake: Settings) -> None:
    project = load_project(lake)
    made(lake, DAY)
    other = DAY + timedelta(1)
    with pytest.raises(ConfigurationError, match=r"spines.fraud_training is of 2018-04-26"):
        write_set(lake, fraud_training, other, "local")
    with pytest.raises(ConfigurationError, match=r"training.fraud_training is of 2018-04-26"):
        stage_set(lake, project, fraud_training, other, "local", lambda _: None)


def test_what_has_not_come_may_come_later_and_nothing_labelled_is_said(lake: Settings) -> None:
    project = load_project(lake)
    with pytest.raises(RetryableError, match=r"the events of transactions of 2019-01-01 have not"):
        write_spine(lake, project, fraud_training, date(2019, 1, 8))
    with pytest.raises(ConfigurationError, match="has a label that was known by the end of"):
        write_spine(lake, project, fraud_training, date(2018, 4, 1))


def test_labels_of_the_day_have_to_have_come(own_lake: Settings) -> None:
    begins_ms = END_MS - DAY_MS
    labels = Warehouse.of(own_lake).open("bronze.transaction_labels")
    labels.delete(f"reported_at >= {begins_ms}")
    with pytest.raises(RetryableError, match="no event of transaction_labels has come that"):
        # Of its last day of events all labels have come, but of others some are still to come.
        write_spine(
            own_lake, load_project(own_lake), replace(fraud_training, label_delay="8d"), DAY
        )


def test_rows_of_other_features_than_are_declared_are_not_published(lake: Settings) -> None:
    made(lake, DAY)
    fewer = replace(fraud_training, service=fraud)
    with pytest.raises(ConfigurationError, match="was made for other features than are declared"):
        stage_set(lake, load_project(lake), fewer, DAY, "local", lambda _: None)


def test_the_lineage_of_a_feature_leads_to_the_set_and_that_of_the_set_to_the_events(
    own_lake: Settings,
) -> None:
    settings = own_lake
    report = made(settings, DAY)
    graph = graph_of(runs_of(read_events(settings.lineage.path)))
    view = fraud_training.service.selections[0].view
    below = feature_below(settings, graph, load_project(settings), view, "count_1d")
    (found,) = [one for one in below if one.kind == "training set"]
    assert (found.name, found.facts["set_id"]) == ("fraud_training", report.set_id)
    above = recorded_above(graph, file_place(place_of(settings, "fraud_training")))
    warehouse = Warehouse.of(settings)

    def names(nodes: Iterable[Node]) -> set[str]:
        return {one.name for one in nodes} | {
            name for one in nodes for name in names(one.following)
        }

    tables = ("training.fraud_training", "spines.fraud_training", "bronze.transactions")
    assert {file_place(warehouse.uri(one)).name for one in tables} <= names(above)


DEFINITIONS = """
from headrace_features import Gate, Nulls, Volume
from headrace_features.fraud.definitions import *

rows_gate = Gate(fraud_training, [Volume(at_least=0.5)])
"""


def test_no_shards_are_published_of_a_set_whose_newest_day_fails(
    own_lake: Settings, tmp_path: Path
) -> None:
    (tmp_path / "definitions.py").write_text(DEFINITIONS)
    (tmp_path / "headrace.toml").write_text(
        '[project]\nname = "fraud"\ndefinitions = ["definitions"]\n'
    )

    def headrace(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("headrace")), *arguments],
            cwd=tmp_path,
            env={**os.environ, "HEADRACE_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(day: date) -> dict[str, Any]:
        done = headrace("run", "training", "--date", str(day), "--json")
        (told,) = json.loads(done.stdout)["days"]
        return {one["task"]: one["status"] for one in told["tasks"]}

    settings = own_lake
    steps = ["spine", "features", "validate", "shards"]
    assert run(DAY) == {f"{one}_fraud_training": 0 for one in steps}
    place = place_of(settings, "fraud_training")
    before = manifest_at(place)
    assert [one["passes"] for one in before.made_of["gates"]] == [True]
    # Most labels of the next day are lost.
    warehouse = Warehouse.of(settings)
    following = LAST + timedelta(1)
    labels = warehouse.open("bronze.transaction_labels")
    kept = warehouse.read("bronze.transaction_labels")
    few = kept.filter(pc.equal(kept["event_date"], pa.scalar(following)))["transaction_id"][0]
    labels.delete(f"event_date = '{following}' AND transaction_id <> '{few.as_py()}'")
    found = run(DAY + timedelta(1))
    assert found == {
        "spine_fraud_training": 0,
        "features_fraud_training": 0,
        "validate_fraud_training": 65,
    }
    refused = headrace("training", "shards", "fraud_training", "--date", str(DAY + timedelta(1)))
    assert refused.returncode == 65
    assert "volume" in refused.stderr
    assert manifest_at(place).set_id == before.set_id
    listed = json.loads(headrace("training", "list", "--json").stdout)
    assert [one["out"] for one in listed] == [place]
