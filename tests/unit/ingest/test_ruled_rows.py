"""Rows that break a rule are kept aside with all their reasons; the rest goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.run import ingest
from headrace_batch.ingest.topic_rows import Judge
from headrace_batch.warehouse import Warehouse
from headrace_features.records import RecordReader
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.settings import Settings
from ingestion import settings_in, stored, write_json_lines
from ruled_readings import NOON_MS, RECORDS, Reading, project, readings

DAY_MS = 86_400_000
IN_SPARK = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("value", pa.binary()),
    ]
)


def reading(number: int, **changes: Any) -> dict[str, Any]:
    good = {"low": 1, "high": 2, "ratio": 0.5, "unit": "kg"}
    places = {"reading_id": f"r{number}", "sensor_id": "a", "event_time": NOON_MS + number}
    return places | good | changes


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path)
    sensor = {"sensor_id": "a", "event_time": NOON_MS}
    take(settings, write_json_lines(tmp_path / "sensors.jsonl", [sensor]), source="sensors")
    return settings


def take(settings: Settings, file: Path, **options: Any) -> Any:
    (report,) = ingest(settings, project(), str(file), **{"source": "readings"} | options).sources
    return report


def kept(settings: Settings) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Warehouse.of(settings).read("quarantine.readings").to_pylist()
    return sorted(rows, key=lambda row: int(row["row_number"]))


def test_a_row_is_kept_with_all_rules_that_it_breaks_and_the_rest_goes_on(
    settings: Settings, tmp_path: Path
) -> None:
    rows = [
        reading(0),
        reading(1, low=3, unit="K9"),
        reading(2, sensor_id="unknown"),
        reading(3, low=3, sensor_id=None),
    ]
    report = take(settings, write_json_lines(tmp_path / "rows.jsonl", rows))
    assert report.ingested == 1
    assert report.rejected == {"ordered": 1, "known_sensor": 1, "null_value": 1}
    assert [(row["reasons"], row["columns"]) for row in kept(settings)] == [
        (["ordered", "known_unit", "unit_in_letters"], ["", "", ""]),
        (["known_sensor"], [""]),
        (["null_value"], ["sensor_id"]),
    ]
    assert [json.loads(row["event"]) for row in kept(settings)[:2]] == rows[1:3]
    assert [json.loads(row["raw"]) for row in kept(settings)] == rows[1:]


def test_a_file_of_a_day_has_to_be_on_time(settings: Settings, tmp_path: Path) -> None:
    file = write_json_lines(tmp_path / "rows.jsonl", [reading(0)])
    report = take(settings, file, arrived_ms=NOON_MS + 7_200_001)
    assert report.rejected == {"on_time": 1}
    assert take(settings, file).already_rejected == {"on_time": 1}


def test_a_file_is_read_again_once_a_rule_has_changed(settings: Settings, tmp_path: Path) -> None:
    file = write_json_lines(tmp_path / "rows.jsonl", [reading(0), reading(1, low=3)])
    take(settings, file)
    without = replace(readings, rules=[one for one in readings.rules if one.name != "ordered"])
    changed = project()
    changed = replace(changed, sources={**changed.sources, "readings": without})
    (again,) = ingest(settings, changed, str(file), source="readings").sources
    assert (again.ingested, again.duplicates, again.rejected_rows) == (1, 1, 0)
    assert [row[0] for row in stored(settings, "bronze.readings")] == ["r0", "r1"]


def test_a_rule_that_refers_to_a_source_without_a_table_says_what_to_ingest_first(
    tmp_path: Path,
) -> None:
    file = write_json_lines(tmp_path / "rows.jsonl", [reading(0)])
    with pytest.raises(ConfigurationError) as refused:
        take(settings_in(tmp_path), file)
    assert str(refused.value) == (
        "the rule known_sensor of readings refers to sensors, of which there is no table"
        " bronze.sensors (ingest events of sensors first)"
    )


@given(st.lists(RECORDS, min_size=1, max_size=12))
def test_records_of_a_topic_are_judged_as_one_by_one(records: list[dict[str, Any]]) -> None:
    values = [readings.codec.encode(Reading(**record)) for record in records]
    columns = [[0] * len(values), range(len(values)), [NOON_MS * 1000] * len(values), values]
    judged = Judge(contract_of(readings)).judged(pa.record_batch(columns, schema=IN_SPARK))
    reader = RecordReader(readings)
    good, refused = [], {}
    for offset, value in enumerate(values):
        try:
            good.append(reader.read(value, NOON_MS).reading_id)
        except BadRecordError as error:
            refused[offset] = error.field
    assert judged.good.column("reading_id").to_pylist() == good
    first = {row["_kafka_offset"]: row["reasons"][0] for row in judged.refused.to_pylist()}
    assert first == refused
    assert all(
        json.loads(row["event"]) == json.loads(row["raw"]) for row in judged.refused.to_pylist()
    )
