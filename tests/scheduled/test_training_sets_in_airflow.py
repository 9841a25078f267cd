"""Airflow makes the declared training sets of a day, and publishes what bears to be verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_batch.staging.places import place_of
from headrace_batch.staging.target import Target
from headrace_batch.staging.verifying import verify
from headrace_batch.warehouse import Warehouse
from headrace_features.project import load_project
from lakes import settings_in, write_simulated
from scheduled.airflows import Airflow
from staged_sets import DAY, manifest_at

pytestmark = pytest.mark.timeout(1_800)


def test_a_day_that_airflow_runs_publishes_shards_of_the_whole_set(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    write_simulated(settings)
    airflow = Airflow(tmp_path)
    airflow.prepare()
    airflow.test([DAY], "training_set")
    target = Target(place_of(settings, "fraud_training"))
    manifest = manifest_at(target.place)
    assert manifest.made_of["day"] == DAY.isoformat()
    report = verify(settings, load_project(settings), target, manifest, 100)
    assert (report.problems, report.compared) == ((), 100)
    assert report.rows == len(Warehouse.of(settings).read("training.fraud_training")) > 500
