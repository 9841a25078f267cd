from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from headrace_batch.ingest import appending
from headrace_batch.ingest.appending import Appender, IngestOf
from headrace_batch.warehouse import Warehouse
from headrace_schemas.errors import RetryableError
from ingestion import Row, settings_in, stored, transaction, transactions, write_parquet

# Ingests one file after the other, as told on its standard input, in many small commits.
CHILD = """
import json, sys
from pathlib import Path
from deltalake.exceptions import CommitFailedError
from headrace_batch.ingest import appending, parquet_reader, run
from headrace_features.project import load_project
from headrace_schemas.settings import load

run.CHUNK_ROWS = parquet_reader._BATCH_ROWS = 20
conflicts = 0
write = appending.write_deltalake

def counting(*arguments, **options):
    global conflicts
    try:
        write(*arguments, **options)
    except CommitFailedError:
        conflicts += 1
        raise

appending.write_deltalake = counting
print("ready", flush=True)
for line in sys.stdin:
    home, file = json.loads(line)
    settings = load(Path(home), {"HEADRACE_HOME": home + "/.headrace"})
    (report,) = run.ingest(settings, load_project(settings), file, source="transactions").sources
    counts = [report.rows, report.ingested, report.duplicates, report.rejected_rows,
              report.already_ingested, conflicts]
    print(json.dumps(counts), flush=True)
"""
ROUNDS = 6


class Ingester:
    """Another process that ingests what it is told to."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, home: Path, file: Path) -> None:
        assert self._process.stdin is not None
        print(json.dumps([str(home), str(file)]), file=self._process.stdin, flush=True)

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def counts(self) -> dict[str, int]:
        names = ("rows", "ingested", "duplicates", "rejected", "already", "conflicts")
        return dict(zip(names, json.loads(self.line()), strict=True))

    def stop(self) -> None:
        # Without further input, it comes to its end.
        self._process.communicate()


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Ingester, Ingester]]:
    both = Ingester(), Ingester()
    for one in both:
        assert one.line() == "ready\n"
    yield both
    for one in both:
        one.stop()


def both_at_once(
    pair: tuple[Ingester, Ingester], home: Path, first: Path, second: Path
) -> tuple[dict[str, int], dict[str, int]]:
    home.mkdir(exist_ok=True)
    for one, file in zip(pair, (first, second), strict=True):
        one.begin(home, file)
    left, right = (one.counts() for one in pair)
    for counts in (left, right):
        done = counts["ingested"] + counts["duplicates"] + counts["rejected"] + counts["already"]
        assert done == counts["rows"]
    return left, right


def rejected_numbers(home: Path) -> list[int]:
    return sorted(row[2] for row in stored(settings_in(home), "quarantine.transactions"))


def keys(home: Path) -> list[str]:
    return [row[0] for row in stored(settings_in(home), "bronze.transactions")]


def with_bad_rows(rows: list[Row]) -> list[Row]:
    return [row | ({"card_id": ""} if n % 25 == 7 else {}) for n, row in enumerate(rows)]


def test_two_at_once_take_overlapping_files_without_a_duplicate(
    tmp_path: Path, pair: tuple[Ingester, Ingester]
) -> None:
    first = write_parquet(tmp_path / "a.parquet", transactions(0, 300))
    second = write_parquet(tmp_path / "b.parquet", transactions(150, 450)[::-1])
    conflicts = 0
    for number in range(ROUNDS):
        home = tmp_path / str(number)
        left, right = both_at_once(pair, home, first, second)
        assert left["ingested"] + right["ingested"] == 450
        assert left["duplicates"] + right["duplicates"] == 150
        assert keys(home) == sorted(f"tx-{n}" for n in range(450))
        conflicts = left["conflicts"] + right["conflicts"]
    assert conflicts > 0, conflicts


def test_two_at_once_take_the_same_file_once(
    tmp_path: Path, pair: tuple[Ingester, Ingester]
) -> None:
    file = write_parquet(tmp_path / "a.parquet", with_bad_rows(transactions(0, 300)))
    for number in range(ROUNDS):
        home = tmp_path / str(number)
        left, right = both_at_once(pair, home, file, file)
        assert left["ingested"] + right["ingested"] == 288
        assert left["rejected"] + right["rejected"] == 12
        assert left["duplicates"] + right["duplicates"] == 0
        assert len(set(keys(home))) == len(keys(home)) == 288
        assert rejected_numbers(home) == list(range(8, 300, 25))


SCHEMA = pa.schema([("key", pa.string())])


def rows_of(*names: str) -> pa.Table:
    return pa.table({"key": list(names)}, schema=SCHEMA)


def test_writers_who_never_stop_are_named_in_an_error_that_can_be_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "ATTEMPTS", 3)
    appender = Appender(Warehouse(str(tmp_path)), "bronze.x", SCHEMA)
    other = IngestOf("other", "/data/other.csv")
    attempts = 0

    def outrun(_: DeltaTable, __: int) -> pa.Table:
        nonlocal attempts
        attempts += 1
        appender.append(other, attempts, lambda _, __: rows_of("theirs"))
        return rows_of("ours")

    with pytest.raises(RetryableError) as caught:
        appender.append(IngestOf("mine", "/data/mine.csv"), 1, outrun)
    assert "committed to by others 3 times in a row" in str(caught.value)
    assert f"process {os.getpid()} on " in str(caught.value)
    assert "/data/other.csv" in str(caught.value)
    assert Warehouse(str(tmp_path)).read("bronze.x").to_pylist() == [{"key": "theirs"}] * 3


def test_a_writer_that_is_none_of_ours_is_noticed_as_well(tmp_path: Path) -> None:
    appender = Appender(Warehouse(str(tmp_path)), "bronze.x", SCHEMA)
    seen: list[int] = []

    def rows(table: DeltaTable, _: int) -> pa.Table:
        seen.append(table.version())
        if len(seen) == 1:
            write_deltalake(table.table_uri, rows_of("theirs"), mode="append")
        return rows_of("ours")

    appended = appender.append(IngestOf("mine", "f"), 1, rows)
    assert seen == [0, 1]
    assert appended.table.version() == 2


def test_progress_is_read_from_the_table(tmp_path: Path) -> None:
    appender = Appender(Warehouse(str(tmp_path)), "bronze.x", SCHEMA)
    mine = IngestOf("mine", "f")
    asked: list[int] = []

    def rows(_: DeltaTable, done: int) -> pa.Table:
        asked.append(done)
        return rows_of("a")

    for upto in (5, 5, 9, 7):
        appender.append(mine, upto, rows)
    assert asked == [0, 5]
    assert mine.progress(appender.opened()) == 9


def test_an_overlap_within_one_file_and_with_the_table_is_told_apart_from_rows_of_others(
    tmp_path: Path, pair: tuple[Ingester, Ingester]
) -> None:
    rows = [*transactions(0, 50), *transactions(0, 50), transaction(50)]
    file = write_parquet(tmp_path / "a.parquet", rows)
    left, right = both_at_once(pair, tmp_path / "home", file, file)
    total: dict[str, Any] = {name: left[name] + right[name] for name in left}
    assert (total["ingested"], total["duplicates"], total["already"]) == (51, 50, 101)
