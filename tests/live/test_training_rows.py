"""Which events are rows of a declared training set, and whether their gates let them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from headrace_batch.local_engine import LocalEngine
from headrace_batch.staging import survey
from headrace_batch.staging.declared import stage_set, write_set
from headrace_batch.staging.declared_spine import write_spine
from headrace_batch.staging.places import place_of
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.services import FeatureService
from headrace_features.fraud.definitions import card_activity, fraud_training
from headrace_features.project import Project, load_project
from headrace_schemas.errors import ConfigurationError, GateError, RetryableError
from headrace_schemas.settings import Settings, load
from headrace_shards.staged_set import StagedSet
from lakes import write_simulated
from staged_sets import DAY, LAST, made, manifest_at

EVENTS, LABELS = "bronze.transactions", "bronze.transaction_labels"


def labelled_on(settings: Settings, day: date, rows: int) -> pa.Table:
    """Some labels of events of a day, with the time of each."""
    table = Warehouse.of(settings).read(LABELS)
    return table.filter(pc.equal(table["event_date"], pa.scalar(day))).slice(0, rows)


def named(rows: pa.Table) -> str:
    """A condition that these labels fulfil, and no others."""
    return f"transaction_id IN ({', '.join(map(repr, rows['transaction_id'].to_pylist()))})"


def test_events_whose_label_is_null_are_left_out_and_counted(own_lake: Settings) -> None:
    before = write_spine(own_lake, load_project(own_lake), fraud_training, DAY)
    some = labelled_on(own_lake, LAST, 3)
    Warehouse.of(own_lake).open(LABELS).update(
        updates={"is_fraud": "CAST(NULL AS BOOLEAN)"}, predicate=named(some)
    )
    report = write_spine(own_lake, load_project(own_lake), fraud_training, DAY)
    assert report.rows == before.rows - 3
    assert report.unlabelled == before.unlabelled + 3
    spine = Warehouse.of(own_lake).read("spines.fraud_training")
    assert spine["is_fraud"].null_count == 0
    assert not set(some["transaction_id"].to_pylist()) & set(spine["transaction_id"].to_pylist())


def test_the_manifest_leads_to_the_tables_of_events_and_labels_though_no_feature_is_of_these(
    own_lake: Settings,
) -> None:
    declared = replace(fraud_training, service=FeatureService("cards", [card_activity]))
    made(own_lake, DAY, declared=declared)
    told = manifest_at(place_of(own_lake, declared.name)).made_of
    assert [one["table"] for one in told["tables"]] == [EVENTS]
    warehouse = Warehouse.of(own_lake)
    assert {one["table"]: one["version"] for one in told["spine_tables"]} == {
        name: warehouse.open(name).version() for name in (EVENTS, LABELS)
    }


def test_a_label_that_was_known_before_its_event_is_left_out_and_counted(
    own_lake: Settings,
) -> None:
    some = labelled_on(own_lake, LAST, 2)
    before = made(own_lake, DAY)
    Warehouse.of(own_lake).open(LABELS).update(
        updates={"reported_at": "event_time - 1000"}, predicate=named(some)
    )
    report = made(own_lake, DAY)
    assert sum(report.rows.values()) == sum(before.rows.values()) - 2
    assert report.rows_left_out == {**before.rows_left_out, "known_before": 2}
    told = manifest_at(report.out).made_of["rows_left_out"]
    assert told == {"unlabelled": before.rows_left_out["unlabelled"], "known_before": 2}
    rows = Warehouse.of(own_lake).read("training.fraud_training")["transaction_id"].to_pylist()
    assert not set(some["transaction_id"].to_pylist()) & set(rows)


def test_the_log_tells_that_no_label_of_the_day_has_come(own_lake: Settings) -> None:
    begins_ms = int(pc.min(labelled_on(own_lake, DAY, 1)["event_time"]).as_py())
    table = Warehouse.of(own_lake).open(LABELS)
    table.delete(f"reported_at >= {begins_ms - begins_ms % 86_400_000}")
    for path in Path(own_lake.warehouse.path).glob("bronze/transaction_labels/**/*.parquet"):
        path.unlink()
    later = replace(fraud_training, label_delay="30d")
    with pytest.raises(RetryableError, match="no event of transaction_labels has come that"):
        write_spine(own_lake, load_project(own_lake), later, DAY)


def test_a_declared_set_may_keep_the_key_of_each_event_in_parquet(
    lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "MOST_TEXTS", 100)
    named = replace(fraud_training, columns=["transaction_id"])
    with pytest.raises(ConfigurationError, match="'transaction_id' has more than 100") as caught:
        made(lake, DAY, declared=named)
    assert "columns= of the declared set" in str(caught.value.hint)
    made(lake, DAY, declared=replace(named, format="parquet"))
    place = place_of(lake, "fraud_training")
    splits = manifest_at(place).splits
    found = [
        key
        for split in splits
        for key in pq.read_table(StagedSet.open(place).files(split))["transaction_id"].to_pylist()
    ]
    rows = Warehouse.of(lake).read("training.fraud_training")
    assert sorted(found) == sorted(rows["transaction_id"].to_pylist())


def gated(folder: Path, of: str) -> tuple[Settings, Project]:
    """A project with a gate that no day of several events of a card passes."""
    module = f"gates_of_{of}"
    (folder / f"{module}.py").write_text(
        "from headrace_features import Gate, Unique\n"
        "from headrace_features.fraud.definitions import *\n"
        f'gate = Gate({of}, [Unique(["card_id"])])\n'
    )
    (folder / "headrace.toml").write_text(
        f'[project]\nname = "fraud"\ndefinitions = ["{module}"]\n'
    )
    settings = load(folder, {"HEADRACE_HOME": str(folder / "home")})
    write_simulated(settings)
    return settings, load_project(settings)


def test_no_features_are_computed_of_days_that_fail_the_gate_of_a_view(tmp_path: Path) -> None:
    settings, project = gated(tmp_path, "card_activity")
    write_spine(settings, project, fraud_training, DAY)
    # Where no features were computed, none are held to their gate.
    write_set(settings, fraud_training, DAY, "local")
    LocalEngine(settings).backfill(card_activity, LAST, LAST)
    with pytest.raises(GateError, match=rf"features.card_activity.* of {LAST} fails its gate"):
        write_set(settings, fraud_training, DAY, "local")


def test_no_rows_are_found_on_a_last_day_that_fails_though_nobody_has_judged_it(
    tmp_path: Path,
) -> None:
    settings, project = gated(tmp_path, "transactions")
    with pytest.raises(GateError, match=rf"bronze.transactions of {LAST} fails its gate"):
        write_spine(settings, project, fraud_training, DAY)


def test_the_gate_of_a_set_judges_the_rows_that_are_staged(tmp_path: Path) -> None:
    settings, project = gated(tmp_path, "fraud_training")
    write_spine(settings, project, fraud_training, DAY)
    write_set(settings, fraud_training, DAY, "local")

    def mended(step: str) -> None:
        """Somebody takes the rows that fail out, once it is settled what is staged."""
        if step == "gate":
            table = Warehouse.of(settings).open("training.fraud_training")
            table.delete(f"event_date >= '{LAST - timedelta(1)}' AND row % 1000 <> 0")

    def stage() -> Any:
        return stage_set(settings, project, fraud_training, DAY, "local", mended)

    with pytest.raises(GateError, match=rf"training.fraud_training of {LAST} fails its gate"):
        stage()
    assert not Path(place_of(settings, "fraud_training")).exists()
