"""On Spark, files become the same tables as in-process."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ruled_readings
from conftest import JAVA_OPTIONS
from headrace_batch.ingest import spark_run
from headrace_batch.ingest.appending import Appender
from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.feeds import plain_feed
from headrace_batch.ingest.input_files import FileKind, InputFile
from headrace_batch.ingest.report import IngestReport
from headrace_batch.ingest.run import ingest
from headrace_batch.ingest.sent_feed import SentFeed
from headrace_batch.ingest.spark_rows import Piece, _pieces
from headrace_batch.ingest.spark_run import ingest_on_spark
from headrace_batch.quarantine.setting_aside import set_aside
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.row_rules import TimelyRule
from headrace_features.definitions.sources import EventSource
from headrace_features.java import java_home
from headrace_features.project import load_project
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.events import Country, Event, Identifier, TimeMs
from headrace_schemas.settings import Settings, load
from ingestion import (
    START_MS,
    Row,
    fraud_project,
    settings_in,
    stored,
    transaction,
    transactions,
    write_csv,
    write_handbook,
    write_json_lines,
    write_parquet,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

pytestmark = pytest.mark.usefixtures("spark")

TABLES = (
    "bronze.transactions",
    "bronze.transaction_labels",
    "quarantine.transactions",
    "quarantine.transaction_labels",
)


#: Plausible, but not yet.
_YEARS_AHEAD_MS = 70 * 365 * 86_400_000


def contents(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    return {table: stored(settings, table) for table in TABLES}


def mixed(first: int, after: int) -> list[Row]:
    """Good rows, bad ones, and keys that come again with other values."""
    rows = []
    for number in range(first, after):
        row = transaction(number)
        if number % 7 == 0:
            row["currency"] = "euro"
        if number % 11 == 0:
            row["card_id"] = None
        if number % 13 == 0:
            row["event_time"] += _YEARS_AHEAD_MS
        rows.append(row)
        if number % 5 == 0:
            rows.append(transaction(number // 2, amount_minor=-number))
    return rows


def on_both(
    tmp_path: Path, *places: Path, **options: Any
) -> tuple[list[IngestReport], list[IngestReport], Settings]:
    """What both engines report for some files, after it was seen that their tables are equal."""
    local, spark = settings_in(tmp_path / "local"), settings_in(tmp_path / "spark")
    project = fraud_project(local)
    reports = [ingest(local, project, str(place), **options) for place in places]
    on_spark = [ingest_on_spark(spark, project, str(place), **options) for place in places]
    assert contents(spark) == contents(local)
    return reports, on_spark, spark


def untimed(reports: list[IngestReport], home: str) -> list[object]:
    return [
        (
            report.files,
            report.rows,
            [
                replace(
                    source,
                    table_uri=source.table_uri.replace(home, ""),
                    quarantine_table_uri=source.quarantine_table_uri.replace(home, ""),
                )
                for source in report.sources
            ],
        )
        for report in reports
    ]


def test_files_of_every_format_become_the_same_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_batch.ingest.spark_rows._PIECE_ROWS", 20)
    csv = write_csv(tmp_path / "b.csv", mixed(30, 60))
    csv.write_text(csv.read_text() + "too,short\n")
    lines = write_json_lines(tmp_path / "c.jsonl", mixed(50, 80))
    lines.write_text(lines.read_text() + '{"card_id": "no more"}\n')
    files = [write_parquet(tmp_path / "a.parquet", mixed(0, 40)), csv, lines, csv]

    local, on_spark, spark = on_both(tmp_path, *files, source="transactions")

    assert untimed(on_spark, "/spark") == untimed(local, "/local")
    assert sum(report.sources[0].duplicates for report in on_spark) > 20
    assert len(stored(spark, "quarantine.transactions")) > 10
    last = on_spark[-1].sources[0]
    assert last.already_ingested == last.rows
    assert sum(last.already_rejected.values()) > 0


def test_the_handbook_format_feeds_both_sources(tmp_path: Path) -> None:
    file = write_handbook(tmp_path / "rows.parquet", 200)
    local, on_spark, _ = on_both(tmp_path, file, file_format="handbook")
    assert untimed(on_spark, "/spark") == untimed(local, "/local")
    assert [source.rejected_rows > 0 for source in on_spark[0].sources] == [True, True]


def test_what_one_engine_has_taken_in_the_other_goes_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, clean = settings_in(tmp_path / "both"), settings_in(tmp_path / "clean")
    project = fraud_project(settings)
    file = write_json_lines(tmp_path / "rows.jsonl", mixed(0, 90))
    ingest(clean, project, str(file), source="transactions")

    class Stopped(Exception):  # noqa: N818 - no error, a place to stop at
        pass

    def stop(done: int, _: int | None) -> None:
        if done > 40:
            raise Stopped

    monkeypatch.setattr("headrace_batch.ingest.run.CHUNK_ROWS", 30)
    monkeypatch.setattr("headrace_batch.ingest.jsonl_reader._BLOCK_BYTES", 2_000)
    with pytest.raises(Stopped):
        ingest(settings, project, str(file), source="transactions", on_progress=stop)
    begun = len(stored(settings, "bronze.transactions"))

    (report,) = ingest_on_spark(settings, project, str(file), source="transactions").sources

    assert report.already_ingested >= 30
    assert 0 < begun < report.ingested + begun
    assert contents(settings) == contents(clean)
    (again,) = ingest(settings, project, str(file), source="transactions").sources
    assert again.already_ingested == again.rows


@pytest.mark.parametrize("take", [ingest, ingest_on_spark])
def test_what_a_run_that_died_took_for_events_and_the_next_rejects_is_kept(
    take: Callable[..., IngestReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    project = fraud_project(settings)
    source = replace(project.source("transactions"), rules=[TimelyRule("on_time", "1d")])
    project = replace(project, sources={"transactions": source})
    rows = [transaction(0, card_id=""), *transactions(1, 3)]
    file = str(write_parquet(tmp_path / "rows.parquet", rows))
    append = Appender.append_next

    def dying(appender: Appender, made: Callable[..., Any]) -> Any:
        if appender.table == source.table:
            raise InterruptedError
        return append(appender, made)

    with monkeypatch.context() as patched:
        patched.setattr(Appender, "append_next", dying)
        with pytest.raises(InterruptedError):
            ingest(settings, project, file, source="transactions")
    assert [row[2:4] for row in stored(settings, "quarantine.transactions")] == [(1, ("null_key",))]
    # Of a file of a day it is known when it has arrived.
    arrived_ms = START_MS + 30 * 86_400_000
    for _ in range(2):
        take(settings, project, file, source="transactions", arrived_ms=arrived_ms)
        kept = sorted(row[2:4] for row in stored(settings, "quarantine.transactions"))
        assert kept == [(1, ("null_key",)), (2, ("on_time",)), (3, ("on_time",))]
    assert stored(settings, source.table) == []


def test_empty_files_have_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    empty = write_parquet(
        tmp_path / "b.parquet", [], pa.Table.from_pylist(transactions(0, 1)).schema
    )
    _, on_spark, _ = on_both(tmp_path, tmp_path / "a.csv", empty, source="transactions")
    assert [report.rows for report in on_spark] == [0, 0]


def interfere(monkeypatch: pytest.MonkeyPatch, home: Path, *files: Path) -> None:
    """While a write is under way, let its own worker ingest another file in-process.

    At each attempt the next file, as long as there is one.
    """
    new_events = spark_run._Writer._new_events
    attempts = 0

    def interfered(self: Any, rows: DataFrame) -> DataFrame:
        nonlocal attempts
        place = str(files[attempts]) if attempts < len(files) else None
        attempts += 1

        def competitor(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            if place is not None:
                # The modules of the tests are not known here.
                settings = load(home, {"HEADRACE_HOME": str(home / ".headrace")})
                ingest(settings, load_project(settings), place, source="transactions")
            yield from batches

        frame = new_events(self, rows).coalesce(1)
        return frame.mapInArrow(competitor, frame.schema)

    monkeypatch.setattr(spark_run._Writer, "_new_events", interfered)


@pytest.mark.parametrize("same", [True, False])
def test_a_writer_in_between_is_noticed_and_nothing_is_there_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, same: bool
) -> None:
    settings = settings_in(tmp_path)
    file = write_json_lines(tmp_path / "a.jsonl", transactions(0, 20))
    other = write_json_lines(tmp_path / "b.jsonl", transactions(10, 30))
    interfere(monkeypatch, tmp_path, file if same else other)

    (report,) = ingest_on_spark(
        settings, fraud_project(settings), str(file), source="transactions"
    ).sources

    keys = [row[0] for row in stored(settings, "bronze.transactions")]
    assert sorted(keys) == sorted(f"tx-{n}" for n in range(20 if same else 30))
    if same:
        assert (report.ingested, report.duplicates, report.already_ingested) == (0, 0, 20)
    else:
        assert (report.ingested, report.duplicates, report.already_ingested) == (10, 10, 0)


def test_writers_who_never_stop_are_an_error_that_can_be_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_run, "ATTEMPTS", 2)
    settings = settings_in(tmp_path)
    file = write_json_lines(tmp_path / "a.jsonl", transactions(0, 5))
    others = [write_json_lines(tmp_path / f"{n}.jsonl", transactions(n, n + 1)) for n in (10, 11)]
    interfere(monkeypatch, tmp_path, *others)
    with pytest.raises(RetryableError, match="committed to by others 2 times in a row"):
        ingest_on_spark(settings, fraud_project(settings), str(file), source="transactions")


def test_a_missing_column_is_told_before_anything_is_written(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    file = write_parquet(tmp_path / "a.parquet", [{"card_id": "c"}])
    with pytest.raises(ConfigurationError, match="has no column transaction_id, terminal_id, ev"):
        ingest_on_spark(settings, fraud_project(settings), str(file), source="transactions")
    assert not Path(settings.warehouse.path).exists()


def test_a_file_that_a_worker_can_not_read_is_one_clear_error(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    path = write_parquet(tmp_path / "rows.parquet", transactions(0, 12))
    page = pq.ParquetFile(path).metadata.row_group(2).column(0).dictionary_page_offset
    raw = bytearray(path.read_bytes())
    raw[page : page + 30] = b"\xff" * 30
    path.write_bytes(raw)
    with pytest.raises(ConfigurationError) as caught:
        ingest_on_spark(settings, fraud_project(settings), str(path), source="transactions")
    assert str(caught.value).startswith(f"{path} can't be read: ")
    assert "\n" not in str(caught.value)
    assert stored(settings, "bronze.transactions") == []


def submitted(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the job as its users do."""
    job = Path(spark_run.__file__).parents[1] / "jobs" / "ingest.py"
    submit = Path(sys.executable).with_name("spark-submit")
    return subprocess.run(
        [
            *(str(submit), "--master", "local[2]", "--driver-java-options", JAVA_OPTIONS),
            *(str(job), *arguments),
        ],
        cwd=cwd,
        env={
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "JAVA_HOME": str(java_home()),
            "PYSPARK_PYTHON": sys.executable,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


DEFINITIONS = """
from headrace_features import Count, Entity, EventSource, FeatureView, Sliding
from headrace_schemas.events import Event, Identifier, TimeMs

class Visit(Event, frozen=True, kw_only=True):
    event_id: Identifier
    user_id: Identifier
    event_time: TimeMs
    page: str | None = None

visits = FeatureView("visits", 1, Entity("user", "user_id"), EventSource("visits", Visit),
                     [Count(windows=[Sliding("1h")])])
"""


def test_the_job_works_below_spark_submit_on_a_project_whose_modules_no_worker_has(
    tmp_path: Path,
) -> None:
    (tmp_path / "headrace.toml").write_text(
        'home = "data"\n[project]\nname = "web"\ndefinitions = ["visits"]\n'
    )
    (tmp_path / "visits.py").write_text(DEFINITIONS)
    rows = [
        {"event_id": str(n), "user_id": f"u{n % 3}", "event_time": START_MS + n, "page": None}
        for n in range(20)
    ]
    write_json_lines(tmp_path / "visits.jsonl", [*rows, rows[3], {**rows[4], "user_id": ""}])

    ran = submitted(tmp_path, "--file", "visits.jsonl")

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("visits: 20 of 22 rows, 1 duplicates, 1 rejected, 0 already in")
    settings = load(tmp_path, {})
    assert [row[0] for row in stored(settings, "bronze.visits")] == sorted(map(str, range(20)))
    assert len(stored(settings, "quarantine.visits")) == 1


def test_a_mistake_in_the_job_is_one_line_and_a_status(tmp_path: Path) -> None:
    ran = submitted(tmp_path, "--file", "nowhere.csv", "--source", "transactions")
    assert ran.returncode == 78
    # Below spark-submit both streams of a script are its standard output.
    (line,) = ran.stdout.splitlines()
    assert line.startswith("ingest: there is no file nowhere.csv")


def test_a_file_is_divided_at_its_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_batch.ingest.spark_rows._PIECE_ROWS", 40)
    path = write_parquet(tmp_path / "rows.parquet", transactions(0, 100))
    file = InputFile(str(path), FileKind.PARQUET)
    # Row groups end at 33, 66, 99 and 100.
    assert _pieces(file, 0) == [Piece(0, 66), Piece(66, 100)]
    assert _pieces(file, 70) == [Piece(70, 100)]
    assert _pieces(file, 100) == []


def test_a_feed_arrives_on_a_worker_with_the_same_contract() -> None:
    class Local(Event, frozen=True, kw_only=True):
        key: Identifier
        at: TimeMs
        seen: int
        share: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] | None = None
        country: Country | None = None
        flag: bool

    source = EventSource(
        name="local", schema=Local, dedup_key="key", event_time="at", available_at="seen"
    )
    feed = plain_feed(source)
    sent = pickle.loads(pickle.dumps(SentFeed(feed))).feed  # noqa: S301 - made here
    contract = contract_of(source)
    assert sent.contract.columns == contract.columns
    assert sent.contract.ingest_id("csv", "0") == contract.ingest_id("csv", "0")
    assert sent.contract.name == "Local"
    line = json.dumps({"key": "k", "at": START_MS, "seen": START_MS, "flag": True}).encode()
    event = sent.contract.codec.decode(line)
    assert msgspec.structs.asdict(event) == msgspec.structs.asdict(contract.codec.decode(line))


@pytest.mark.parametrize("first", [ingest, ingest_on_spark])
def test_a_file_comes_in_again_as_in_process_once_a_day_was_set_aside(
    tmp_path: Path, first: Callable[..., IngestReport]
) -> None:
    settings = settings_in(tmp_path)
    project, warehouse = fraud_project(settings), Warehouse.of(settings)
    source = project.source("transactions")
    rows = [*transactions(0, 30), transaction(30, card_id="")]
    file = write_parquet(tmp_path / "rows.parquet", rows)

    def took(take: Callable[..., IngestReport], *, again: bool) -> tuple[int, int, int]:
        (report,) = take(settings, project, str(file), source=source.name, again=again).sources
        return report.ingested, report.duplicates, report.already_ingested

    assert took(first, again=True) == (30, 0, 0)
    before = stored(settings, source.table)
    for _ in range(2):
        assert set_aside(warehouse, source, date(2018, 4, 1)) == 24
        assert took(ingest_on_spark, again=False) == (0, 0, 31)
        assert took(ingest_on_spark, again=True) == (24, 6, 0)
        assert took(ingest, again=False) == took(ingest, again=True) == (0, 0, 31)
        assert took(ingest_on_spark, again=True) == (0, 0, 31)
        assert stored(settings, source.table) == before
    kept = warehouse.read("quarantine.transactions", ["reasons"])["reasons"].to_pylist()
    assert kept.count(["null_key"]) == 1


def test_a_new_file_that_was_taken_in_again_stays_out_by_itself_on_both_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    project, warehouse = fraud_project(settings), Warehouse.of(settings)
    source = project.source("transactions")
    bad = write_parquet(tmp_path / "bad.parquet", transactions(0, 24, amount_minor=7))
    ingest(settings, project, str(bad), source=source.name)
    set_aside(warehouse, source, date(2018, 4, 1))
    mended = write_parquet(tmp_path / "mended.parquet", transactions(0, 24))

    def took(take: Callable[..., IngestReport], *, again: bool) -> tuple[int, int]:
        (report,) = take(settings, project, str(mended), source=source.name, again=again).sources
        return report.ingested, report.already_ingested

    # Killed before it is known as taken in, it is known when that is done again.
    with monkeypatch.context() as killed:
        killed.setattr(spark_run._Writer, "_record_once", _killed)
        with pytest.raises(KeyboardInterrupt):
            took(ingest_on_spark, again=True)
    assert took(ingest_on_spark, again=True) == (0, 24)
    set_aside(warehouse, source, date(2018, 4, 1))
    assert took(ingest, again=False) == took(ingest_on_spark, again=False) == (0, 24)
    assert took(ingest_on_spark, again=True) == (24, 0)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_rows_that_break_a_rule_are_kept_aside_as_in_process(tmp_path: Path) -> None:
    rows = [
        {
            "reading_id": f"r{number}",
            "sensor_id": "a" if number % 5 else "unknown",
            "event_time": ruled_readings.NOON_MS - number * 3_600_000,
            "low": number if number % 3 else None,
            "high": 4,
            "ratio": 0.5,
            "unit": "kg" if number % 4 else "K9",
            "operator": "o",
        }
        for number in range(20)
    ]
    sensor = {"sensor_id": "a", "event_time": ruled_readings.NOON_MS}
    sensors = write_json_lines(tmp_path / "sensors.jsonl", [sensor])
    file = write_parquet(tmp_path / "readings.parquet", rows)
    homes = settings_in(tmp_path / "local"), settings_in(tmp_path / "spark")
    for take, settings in zip((ingest, ingest_on_spark), homes, strict=True):
        take(settings, ruled_readings.project(), str(sensors), source="sensors")
        (report,) = take(
            settings,
            ruled_readings.project(),
            str(file),
            source="readings",
            arrived_ms=ruled_readings.NOON_MS,
        ).sources
        assert sum(report.rejected.values()) == 18
        assert report.ignored_columns == ("operator",)
    for table in ("bronze.readings", "quarantine.readings"):
        assert stored(homes[1], table) == stored(homes[0], table)
    broken = {reason for row in stored(homes[0], "quarantine.readings") for reason in row[3]}
    names = {rule.name for rule in ruled_readings.readings.rules}
    assert broken == names
