"""Runs tell that they begin and end, to a file and a server, and nothing of that holds them up."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest

from headrace_features.lineage.columns import ColumnUse, Use
from headrace_features.lineage.places import Place
from headrace_features.lineage.recording import recorded, tell
from headrace_features.lineage.told import MadeOf, Outcome, Span, Told, Work
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import Settings, load
from lineage_events import recorded_events, told
from lineage_server import LineageServer, lineage_server

NOW = datetime(2026, 11, 27, 17, 40, tzinfo=UTC)
TOPIC = Place("kafka://broker:9092", "visits")
TABLE = Place("file", "/lake/bronze/visits")
WORK = Work("ingest.visits", (Told(TOPIC),), (Told(TABLE),))
DONE = Outcome(
    (Told(TOPIC, offsets={0: Span(0, 7), 1: Span(3, 3)}, rows=7),),
    (
        Told(
            TABLE,
            {"shop": "string"},
            version=4,
            rows=6,
            made_of=MadeOf(TOPIC, {"shop": [ColumnUse("shop", Use.CHOSEN, "as it was sent")]}),
            facts={"generation": 2},
            description="Visits.",
            owner="shops",
        ),
    ),
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(tmp_path, {"HEADRACE_LINEAGE_NAMESPACE": "tests"})


@pytest.fixture
def server() -> Iterator[LineageServer]:
    with lineage_server() as received:
        yield received


def run(settings: Settings, **environ: str) -> None:
    with recorded(settings, [WORK], environ=environ, now=lambda: NOW) as runs:
        runs.end(WORK.job, lambda: DONE)


def test_a_run_tells_its_beginning_and_what_it_has_done_at_its_end(settings: Settings) -> None:
    run(settings)
    begun, ended = recorded_events(settings.lineage.path)
    assert (begun["eventType"], ended["eventType"]) == ("START", "COMPLETE")
    assert begun["run"]["runId"] == ended["run"]["runId"]
    assert begun["eventTime"] == "2026-11-27T17:40:00+00:00"
    assert (ended["job"]["namespace"], ended["job"]["name"]) == ("tests", "fraud.ingest.visits")
    assert [(one["namespace"], one["name"]) for one in ended["inputs"]] == [TOPIC]
    assert told(ended, "headrace_offsets", "inputs") == {
        "partitions": {"0": {"first": 0, "before": 7}, "1": {"first": 3, "before": 3}}
    }
    assert ended["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"] == 7
    assert ended["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 6
    assert told(ended, "version") == {"datasetVersion": "4"}
    assert told(ended, "schema")["fields"] == [{"name": "shop", "type": "string", "fields": []}]
    assert told(ended, "headrace_facts") == {"facts": {"generation": 2}}
    assert told(ended, "ownership")["owners"] == [{"name": "shops"}]
    assert told(ended, "columnLineage")["fields"]["shop"]["inputFields"] == [
        {
            "namespace": TOPIC.namespace,
            "name": "visits",
            "field": "shop",
            "transformations": [
                {
                    "type": "DIRECT",
                    "subtype": "IDENTITY",
                    "description": "as it was sent",
                    "masking": False,
                }
            ],
        }
    ]


def test_a_run_that_fails_tells_why_and_fails_as_it_would(settings: Settings) -> None:
    with (
        pytest.raises(ConfigurationError, match="no such"),
        recorded(settings, [WORK], environ={}),
    ):
        raise ConfigurationError("no such table\nand more", hint="make one")
    *_, ended = recorded_events(settings.lineage.path)
    message = ended["run"]["facets"]["errorMessage"]["message"]
    assert (ended["eventType"], message) == (
        "FAIL",
        "ConfigurationError: no such table and more (make one)",
    )


def test_a_run_that_somebody_ends_is_told_as_ended(settings: Settings) -> None:
    with pytest.raises(KeyboardInterrupt), recorded(settings, [WORK], environ={}):
        raise KeyboardInterrupt
    *_, ended = recorded_events(settings.lineage.path)
    assert ended["eventType"] == "ABORT"


def test_the_run_above_is_the_parent_and_so_is_a_run_of_what_it_starts(settings: Settings) -> None:
    above = "airflow://host/a/daily.ingest/01941a1c-0000-7000-8000-000000000001"
    root = "airflow/daily/01941a1c-0000-7000-8000-000000000002"
    environ = {"OPENLINEAGE_PARENT_ID": above, "OPENLINEAGE_ROOT_PARENT_ID": root}
    outer = Work("apply")
    with recorded(settings, [outer], environ=environ):
        run(settings, **environ)
    events = {one["job"]["name"]: one["run"] for one in recorded_events(settings.lineage.path)}
    parent = events["fraud.apply"]["facets"]["parent"]
    assert parent["run"]["runId"] == "01941a1c-0000-7000-8000-000000000001"
    assert parent["job"]["namespace"] == "airflow://host/a"
    assert parent["job"]["name"] == "daily.ingest"
    assert parent["root"]["job"]["name"] == "daily"
    below = events["fraud.ingest.visits"]["facets"]["parent"]
    assert below["run"]["runId"] == events["fraud.apply"]["runId"]
    assert below["root"]["run"]["runId"] == "01941a1c-0000-7000-8000-000000000002"


def test_a_parent_of_another_form_counts_as_none(settings: Settings) -> None:
    run(settings, OPENLINEAGE_PARENT_ID="somebody")
    assert "parent" not in recorded_events(settings.lineage.path)[0]["run"]["facets"]


def test_what_goes_on_by_itself_has_one_run_from_its_beginning_to_its_end(
    settings: Settings,
) -> None:
    stream = Work("stream", (Told(TOPIC),), is_stream=True)
    name = "01941a1c-0000-7000-8000-000000000003"
    tell(settings, lambda: stream, name, now=lambda: NOW)
    tell(settings, lambda: stream, name, ends=True, now=lambda: NOW)
    begun, ended = recorded_events(settings.lineage.path)
    assert [one["eventType"] for one in (begun, ended)] == ["START", "COMPLETE"]
    assert [one["run"]["runId"] for one in (begun, ended)] == [name, name]
    assert begun["job"]["facets"]["jobType"]["processingType"] == "STREAMING"


def test_a_server_gets_the_same_events_with_what_lets_them_in(
    settings: Settings, server: LineageServer, tmp_path: Path
) -> None:
    options = {"auth.type": "api_key", "auth.apiKey": "hush", "compression": "gzip"}
    settings = load(
        tmp_path,
        {"HEADRACE_LINEAGE_URL": server.url, "HEADRACE_LINEAGE_OPTIONS": json.dumps(options)},
    )
    run(settings)
    assert server.events == recorded_events(settings.lineage.path)
    assert {one["Authorization"] for one in server.headers} == {"Bearer hush"}
    assert {one["path"] for one in server.headers} == {"/api/v1/lineage"}
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("status", [401, 503])
def test_a_server_that_takes_nothing_is_a_warning_of_one_line(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with lineage_server(status) as server:
        settings = load(tmp_path, {"HEADRACE_LINEAGE_URL": server.url})
        run(settings)
    assert len(recorded_events(settings.lineage.path)) == 2
    (warning,) = caplog.records
    assert (warning.levelno, warning.name) == (logging.WARNING, "headrace.lineage")
    assert f"{server.url} has not taken" in warning.getMessage()
    assert "\n" not in warning.getMessage()


def test_a_server_that_is_away_holds_a_run_up_for_a_moment_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Nobody listens on the port of a server that has ended.
    with lineage_server() as server:
        pass
    settings = load(tmp_path, {"HEADRACE_LINEAGE_URL": server.url})
    began = monotonic()
    run(settings)
    assert monotonic() - began < 30
    assert len(recorded_events(settings.lineage.path)) == 2
    assert len(caplog.records) == 1


def test_what_can_not_be_written_or_told_is_a_warning_and_nothing_else(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.lineage.path.parent.mkdir()
    settings.lineage.path.write_text("a file where the folder should be")
    run(settings)
    with recorded(settings, [WORK], environ={}) as runs:
        runs.end(WORK.job, lambda: Outcome((), (Told(TABLE, version=1 // 0),)))
    assert {one.levelno for one in caplog.records} == {logging.WARNING}
    assert any("division" in one.getMessage() for one in caplog.records)


def test_openlineages_own_variable_turns_it_off(settings: Settings) -> None:
    run(settings, OPENLINEAGE_DISABLED="true")
    assert not settings.lineage.path.exists()


_WRITER = """
import sys
from pathlib import Path
from headrace_features.lineage.places import Place
from headrace_features.lineage.recording import recorded
from headrace_features.lineage.told import Told, Work
from headrace_schemas.settings import load

columns = {f"column_{number}": "string" for number in range(400)}
for _ in range(20):
    work = Work(sys.argv[2], (Told(Place("file", "/a"), columns),))
    with recorded(load(Path(sys.argv[1]), {}), [work], environ={}):
        pass
"""


def test_several_processes_write_whole_lines(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), f"job_{number}"])
        for number in range(3)
    ]
    assert [one.wait(60) for one in writers] == [0, 0, 0]
    events = recorded_events(tmp_path / ".headrace" / "lineage")
    names = [one["job"]["name"] for one in events]
    assert {name: names.count(name) for name in names} == {
        f"fraud.job_{number}": 40 for number in range(3)
    }
