from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from headrace_batch.ingest import run
from headrace_batch.ingest.appending import Appender
from headrace_batch.ingest.report import IngestReport, SourceReport
from headrace_batch.ingest.run import ingest
from headrace_batch.quarantine.setting_aside import set_aside
from headrace_batch.warehouse import Warehouse
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.reasons import Reason
from headrace_schemas.settings import Settings
from ingestion import (
    START_MS,
    Row,
    fraud_project,
    settings_in,
    stored,
    transaction,
    transactions,
    write_csv,
    write_json_lines,
    write_parquet,
)

DAY_MS = 86_400_000
ROWS = transactions(0, 9)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CHUNK_ROWS", 4)
    monkeypatch.setattr("headrace_batch.ingest.parquet_reader._BATCH_ROWS", 2)


def take(settings: Settings, place: Path | str, **options: Any) -> SourceReport:
    (report,) = take_all(settings, place, **{"source": "transactions"} | options).sources
    counted = report.ingested + report.duplicates + report.rejected_rows + report.already_ingested
    assert counted == report.rows
    return report


def take_all(settings: Settings, place: Path | str, **options: Any) -> IngestReport:
    return ingest(settings, fraud_project(settings), str(place), **options)


def bronze(settings: Settings) -> list[tuple[Any, ...]]:
    return stored(settings, "bronze.transactions")


def rejected(settings: Settings) -> list[Row]:
    rows = Warehouse.of(settings).read("quarantine.transactions").to_pylist()
    return sorted(rows, key=lambda row: (row["file"], row["row_number"]))


def expected_rows(rows: list[Row]) -> list[tuple[Any, ...]]:
    days = pa.array([row["event_time"] // DAY_MS for row in rows], pa.int32()).cast(pa.date32())
    found = ((*row.values(), day) for row, day in zip(rows, days.to_pylist(), strict=True))
    return sorted(found, key=repr)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_the_same_rows_arrive_from_every_format(
    tmp_path: Path, settings: Settings, suffix: str
) -> None:
    rows = transactions(0, 50)
    write = {"parquet": write_parquet, "csv": write_csv, "jsonl": write_json_lines}[suffix]
    report = take(settings, write(tmp_path / f"rows.{suffix}", rows))
    assert report.ingested == 50
    assert bronze(settings) == expected_rows(rows)


def test_the_bronze_table_is_partitioned_by_the_day_of_the_event(
    tmp_path: Path, settings: Settings
) -> None:
    take(settings, write_parquet(tmp_path / "rows.parquet", transactions(0, 30)))
    table = Warehouse.of(settings).open("bronze.transactions")
    assert table.metadata().partition_columns == ["event_date"]
    assert sorted(p["event_date"] for p in table.partitions()) == ["2018-04-01", "2018-04-02"]
    assert pa.schema(table.schema().to_arrow()).names[-1] == "event_date"


def test_the_same_file_twice_changes_nothing_and_says_so(
    tmp_path: Path, settings: Settings
) -> None:
    file = write_parquet(
        tmp_path / "rows.parquet", [*transactions(0, 9), transaction(9, card_id="")]
    )
    take(settings, file)
    before = bronze(settings), rejected(settings)
    report = take(settings, file)
    assert (report.rows, report.ingested, report.already_ingested) == (10, 0, 10)
    assert report.already_rejected == {Reason.NULL_KEY: 1}
    assert (bronze(settings), rejected(settings)) == before


def test_the_same_content_under_another_name_is_not_read_again(
    tmp_path: Path, settings: Settings
) -> None:
    file = write_csv(tmp_path / "rows.csv", transactions(0, 5))
    take(settings, file)
    report = take(settings, shutil.copy(file, tmp_path / "copy.csv"))
    assert (report.already_ingested, report.duplicates) == (5, 0)


@pytest.mark.usefixtures("small_chunks")
def test_the_first_of_several_rows_with_one_key_stays(tmp_path: Path, settings: Settings) -> None:
    rows = transactions(0, 12)
    again = [transaction(n, event_time=START_MS + 40 * DAY_MS, amount_minor=-1) for n in (1, 5, 11)]
    report = take(settings, write_parquet(tmp_path / "one.parquet", [*rows, *again, *again]))
    assert (report.ingested, report.duplicates) == (12, 6)
    assert bronze(settings) == expected_rows(rows)


def test_a_key_of_an_earlier_file_is_a_duplicate(tmp_path: Path, settings: Settings) -> None:
    take(settings, write_csv(tmp_path / "one.csv", transactions(0, 10)))
    later = transactions(5, 15, amount_minor=7)
    report = take(settings, write_json_lines(tmp_path / "two.jsonl", later))
    assert (report.ingested, report.duplicates) == (5, 5)
    assert bronze(settings) == expected_rows([*transactions(0, 10), *later[5:]])


def test_a_rejected_row_does_not_keep_a_good_one_with_its_key_out(
    tmp_path: Path, settings: Settings
) -> None:
    rows = [transaction(1, currency="euro"), transaction(1)]
    report = take(settings, write_json_lines(tmp_path / "rows.jsonl", rows))
    assert (report.ingested, report.rejected) == (1, {Reason.BAD_FORMAT: 1})


def test_rejected_rows_are_kept_with_reasons_place_and_text(
    tmp_path: Path, settings: Settings
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(
        "transaction_id,card_id,terminal_id,event_time,amount_minor,latitude,extra\n"
        "a,c,t,2018-04-01 00:00:31,1,,\n"
        "b,,t,1522540831,x,95.5,?\n"
        "c,c,t\n"
        'd,c,t,1522540831000,1,"",\n',
        encoding="utf-8",
    )
    report = take(settings, file)
    assert (report.rows, report.ingested) == (4, 2)
    assert report.rejected == {Reason.NULL_KEY: 1, Reason.UNDECODABLE: 1}
    second, third = rejected(settings)
    assert second["ingest_id"] == third["ingest_id"]
    assert second["file"] == str(file)
    assert second["row_number"] == 2
    assert dict(zip(second["columns"], second["reasons"], strict=True)) == {
        "card_id": "null_key",
        "event_time": "event_time_wrong_unit",
        "amount_minor": "wrong_type",
        "latitude": "out_of_range",
    }
    assert json.loads(second["raw"]) == {
        "transaction_id": "b",
        "card_id": None,
        "terminal_id": "t",
        "event_time": "1522540831",
        "amount_minor": "x",
        "latitude": "95.5",
    }
    assert (third["row_number"], third["reasons"], third["columns"]) == (3, ["undecodable"], [""])
    assert third["raw"] == "c,c,t"


def test_a_line_that_is_no_json_is_kept_as_it_is(tmp_path: Path, settings: Settings) -> None:
    file = tmp_path / "rows.jsonl"
    good = json.dumps(transaction(1)).encode()
    late = json.dumps(transaction(2, event_time=1)).encode()
    file.write_bytes(b"\n".join([good, b"\xff{", late, b"[1]", b'{"card_id": 3}']))
    report = take(settings, file)
    assert report.ingested == 1
    assert [(row["row_number"], row["reasons"][0], row["raw"]) for row in rejected(settings)] == [
        (2, "undecodable", "\\xff{"),
        (3, "event_time_out_of_range", late.decode()),
        (4, "undecodable", "[1]"),
        (5, "missing_field", '{"card_id": 3}'),
    ]


def test_a_file_of_which_nothing_fits_is_a_failure_with_its_rows_kept(
    tmp_path: Path, settings: Settings
) -> None:
    file = write_json_lines(tmp_path / "rows.jsonl", [{"user": 1}, {"user": 2}])
    for _ in range(2):
        failure = take_all(settings, file, source="transactions").failure()
        assert failure is not None
        assert str(failure).startswith("all rows were rejected (missing_field 2)")
        assert failure.exit_code != 0
    assert len(rejected(settings)) == 2


def test_a_column_that_is_missing_or_of_a_hopeless_type_is_told_before_anything_is_written(
    tmp_path: Path, settings: Settings
) -> None:
    write_parquet(tmp_path / "data" / "a.parquet", transactions(0, 3))
    short = [{k: v for k, v in row.items() if k != "card_id"} for row in transactions(3, 6)]
    write_parquet(tmp_path / "data" / "b.parquet", short)
    with pytest.raises(ConfigurationError, match=r"b.parquet has no column card_id, which Transac"):
        take(settings, tmp_path / "data")
    nested = [row | {"amount_minor": [1]} for row in transactions(3, 6)]
    write_parquet(tmp_path / "data" / "b.parquet", nested)
    with pytest.raises(ConfigurationError, match=r"b.parquet: column amount_minor is list.* can't"):
        take(settings, tmp_path / "data")
    assert not Path(settings.warehouse.path).exists()


def test_columns_that_may_be_null_may_be_absent_and_others_are_ignored(
    tmp_path: Path, settings: Settings
) -> None:
    wanted = ("transaction_id", "card_id", "terminal_id", "event_time", "amount_minor")
    rows = [{k: row[k] for k in wanted} | {"new": 1} for row in transactions(0, 3)]
    take(settings, write_parquet(tmp_path / "rows.parquet", rows))
    bare = dict.fromkeys(("currency", "country", "latitude", "longitude", "channel"))
    assert bronze(settings) == expected_rows([row | bare for row in transactions(0, 3)])


def test_types_that_hold_the_same_values_are_taken(tmp_path: Path, settings: Settings) -> None:
    schema = pa.schema(
        [
            ("transaction_id", pa.large_string()),
            ("card_id", pa.int32()),
            ("terminal_id", pa.dictionary(pa.int8(), pa.string())),
            ("event_time", pa.timestamp("ns", "Europe/Berlin")),
            ("amount_minor", pa.float64()),
            ("latitude", pa.float32()),
        ]
    )
    table = pa.table(
        [
            ["a", "b"],
            [1, 2],
            ["t", "t"],
            [START_MS * 10**6 + 1_999_999, START_MS * 10**6],
            [5.0, 5.5],
            [1.5, None],
        ],
        schema=schema,
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    report = take(settings, tmp_path / "rows.parquet")
    assert report.rejected == {Reason.WRONG_TYPE: 1}
    nothing = dict.fromkeys(("currency", "country", "latitude", "longitude", "channel"))
    row = {
        "transaction_id": "a",
        "card_id": "1",
        "terminal_id": "t",
        "event_time": START_MS + 1,
        "amount_minor": 5,
        **(nothing | {"latitude": 1.5}),
    }
    assert bronze(settings) == expected_rows([row])


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_columns_that_the_contract_does_not_have_are_told_whenever_their_file_comes(
    tmp_path: Path, settings: Settings, suffix: str
) -> None:
    write = {"parquet": write_parquet, "csv": write_csv, "jsonl": write_json_lines}[suffix]
    rows = [row | {"merchant_city": "Ulm", "": number} for number, row in enumerate(ROWS)]
    write(tmp_path / f"rows.{suffix}", rows)
    for _ in range(2):
        report = take_all(settings, tmp_path / f"rows.{suffix}", source="transactions")
        assert report.ignored_columns == ("merchant_city", '""')
        assert report.sources[0].ignored_columns == report.ignored_columns
    assert bronze(settings) == expected_rows(ROWS)
    write(tmp_path / f"known.{suffix}", ROWS)
    known = take_all(settings, tmp_path / f"known.{suffix}", source="transactions")
    assert known.ignored_columns == ()


@pytest.mark.parametrize("raw", [b"", b"\n \n", b"[1]\n", b"\xff{", b'{"amount'])
def test_lines_that_are_no_objects_have_no_columns_to_ignore(
    tmp_path: Path, settings: Settings, raw: bytes
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(raw)
    assert take_all(settings, file, source="transactions").ignored_columns == ()


def test_the_first_object_is_looked_at_for_keys_behind_a_byte_order_mark_and_blank_lines(
    tmp_path: Path, settings: Settings
) -> None:
    file = tmp_path / "rows.jsonl"
    line = json.dumps(transaction(1) | {"new": [1, {}]}).encode()
    file.write_bytes(b"\xef\xbb\xbf\n\n" + line)
    assert take_all(settings, file, source="transactions").ignored_columns == ("new",)


@pytest.mark.parametrize(("name", "raw"), [("a.csv", b""), ("a.jsonl", b""), ("a.jsonl", b"\n")])
def test_an_empty_file_has_no_rows_and_is_no_failure(
    tmp_path: Path, settings: Settings, name: str, raw: bytes
) -> None:
    (tmp_path / name).write_bytes(raw)
    report = take_all(settings, tmp_path / name, source="transactions")
    assert (report.rows, report.failure()) == (0, None)
    assert bronze(settings) == []


def test_a_parquet_file_without_rows_still_needs_its_columns(
    tmp_path: Path, settings: Settings
) -> None:
    schema = pa.Table.from_pylist(transactions(0, 1)).schema
    file = write_parquet(tmp_path / "rows.parquet", [], schema)
    assert take(settings, file).rows == 0
    with pytest.raises(ConfigurationError, match="has no column card_id"):
        take(settings, write_parquet(file, [], schema.remove(1)))


def test_a_folder_is_one_ingest_of_all_its_files(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data" / "a.parquet", transactions(0, 5))
    write_json_lines(tmp_path / "data" / "b.jsonl", transactions(3, 8))
    write_csv(tmp_path / "data" / "c.csv", transactions(8, 12))
    told: list[tuple[int, int | None]] = []
    report = take_all(
        settings,
        tmp_path / "data",
        source="transactions",
        on_progress=lambda *done: told.append(done),
    )
    assert [Path(file).name for file in report.files] == ["a.parquet", "b.jsonl", "c.csv"]
    assert (report.rows, report.sources[0].ingested, report.sources[0].duplicates) == (14, 12, 2)
    assert bronze(settings) == expected_rows(transactions(0, 12))
    assert told == sorted(told)
    assert told[-1] == (14, None)


def test_progress_knows_the_end_of_parquet_files(tmp_path: Path, settings: Settings) -> None:
    told: list[tuple[int, int | None]] = []
    file = write_parquet(tmp_path / "rows.parquet", transactions(0, 6))
    take(settings, file, on_progress=lambda *done: told.append(done))
    assert told[-1] == (6, 6)


def test_the_handbook_format_feeds_transactions_and_labels(
    tmp_path: Path, settings: Settings
) -> None:
    columns = ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT"]
    rows = [[0, "2018-04-01 00:00:31", 596, 3156, 57.16], [1, "2018-04-01 00:02:10", 1, 2, 0.001]]
    data = [dict(zip(columns, row, strict=True)) | {"TX_FRAUD": row[0]} for row in rows]
    transactions_report, labels_report = take_all(
        settings, write_csv(tmp_path / "rows.csv", data), file_format="handbook"
    ).sources
    assert (transactions_report.ingested, transactions_report.rejected) == (
        1,
        {Reason.WRONG_TYPE: 1},
    )
    assert labels_report.ingested == 2
    # What one of the two sources takes is not ignored by the other.
    assert (transactions_report.ignored_columns, labels_report.ignored_columns) == ((), ())
    assert [row[:5] for row in bronze(settings)] == [("0", "596", "3156", 1_522_540_831_000, 5716)]
    assert [row[3:6] for row in stored(settings, "bronze.transaction_labels")] == [
        (1_522_540_831_000, False, 1_522_540_831_000 + 7 * DAY_MS),
        (1_522_540_930_000, True, 1_522_540_930_000 + 7 * DAY_MS),
    ]


def test_a_source_has_to_be_named_where_there_are_several(
    tmp_path: Path, settings: Settings
) -> None:
    file = write_parquet(tmp_path / "rows.parquet", transactions(0, 1))
    with pytest.raises(
        ConfigurationError, match=r"has transaction_labels, transactions .*--source"
    ):
        take_all(settings, file)
    with pytest.raises(ConfigurationError, match="unknown source 'transaction', did you mean"):
        take_all(settings, file, source="transaction")
    with pytest.raises(ConfigurationError, match="can't be chosen with --format handbook"):
        take_all(settings, file, source="transactions", file_format="handbook")


@pytest.mark.usefixtures("small_chunks")
def test_a_damaged_parquet_file_keeps_the_rows_that_were_committed_and_goes_on_when_mended(
    tmp_path: Path, settings: Settings
) -> None:
    whole = write_parquet(tmp_path / "whole.parquet", transactions(0, 12)).read_bytes()
    last = pq.ParquetFile(tmp_path / "whole.parquet").metadata.row_group(2).column(0)
    broken = bytearray(whole)
    place = last.dictionary_page_offset
    broken[place : place + 30] = b"\xff" * 30
    (tmp_path / "rows.parquet").write_bytes(broken)
    with pytest.raises(ConfigurationError, match=r"rows.parquet can't be read"):
        take(settings, tmp_path / "rows.parquet")
    assert 0 < len(bronze(settings)) < 12
    (tmp_path / "rows.parquet").write_bytes(whole)
    take(settings, tmp_path / "rows.parquet")
    assert bronze(settings) == expected_rows(transactions(0, 12))


def test_a_damaged_delta_log_is_one_clear_line(tmp_path: Path, settings: Settings) -> None:
    file = write_parquet(tmp_path / "rows.parquet", transactions(0, 3))
    take(settings, file)
    log = Path(Warehouse.of(settings).uri("bronze.transactions")) / "_delta_log"
    (log / "00000000000000000001.json").write_text("{nonsense")
    with pytest.raises(ConfigurationError) as caught:
        take(settings, file)
    assert str(caught.value).startswith("table bronze.transactions at ")
    assert "has a damaged Delta log" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_column_that_the_contract_has_gained_is_added_to_the_table(
    tmp_path: Path, settings: Settings
) -> None:
    schema = pa.schema(
        [("transaction_id", pa.string()), ("event_time", pa.int64()), ("event_date", pa.date32())]
    )
    Warehouse.of(settings).create("bronze.transactions", schema, partition_by=["event_date"])
    take(settings, write_parquet(tmp_path / "rows.parquet", transactions(0, 3)))
    found = Warehouse.of(settings).read("bronze.transactions", ["transaction_id", "amount_minor"])
    assert sorted(found.column("amount_minor").to_pylist()) == [100, 101, 102]


def test_a_column_whose_type_the_contract_has_changed_is_refused(
    tmp_path: Path, settings: Settings
) -> None:
    schema = pa.schema([("amount_minor", pa.string()), ("event_date", pa.date32())])
    Warehouse.of(settings).create("bronze.transactions", schema, partition_by=["event_date"])
    with pytest.raises(
        ConfigurationError, match=r"amount_minor of table bronze.transactions is str"
    ):
        take(settings, write_parquet(tmp_path / "rows.parquet", transactions(0, 3)))


@pytest.mark.usefixtures("small_chunks")
def test_a_chunk_that_only_repeats_or_breaks_is_done_once_as_well(
    tmp_path: Path, settings: Settings
) -> None:
    rows = [*transactions(0, 4), *transactions(0, 4), *transactions(4, 8, card_id="")]
    file = write_parquet(tmp_path / "rows.parquet", rows)
    report = take(settings, file)
    assert (report.ingested, report.duplicates, report.rejected_rows) == (4, 4, 4)
    version = Warehouse.of(settings).open("bronze.transactions").version()
    assert take(settings, file).already_ingested == 12
    assert Warehouse.of(settings).open("bronze.transactions").version() == version


def test_many_rejected_rows_do_not_wait_for_a_whole_chunk(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_CHUNK_REJECTED", 3)
    monkeypatch.setattr("headrace_batch.ingest.parquet_reader._BATCH_ROWS", 2)
    rows = transactions(0, 12, card_id="")
    take(settings, write_parquet(tmp_path / "rows.parquet", rows))
    assert len(rejected(settings)) == 12
    assert DeltaTable(Warehouse.of(settings).uri("quarantine.transactions")).version() == 3


def out(settings: Settings, day: date) -> int:
    """Take a day out of the table; how many rows it had."""
    source = fraud_project(settings).source("transactions")
    return set_aside(Warehouse.of(settings), source, day)


FIRST_DAY = date(2018, 4, 1)


def test_a_file_comes_in_again_once_for_each_day_that_was_set_aside(
    tmp_path: Path, settings: Settings
) -> None:
    file = write_parquet(tmp_path / "rows.parquet", transactions(0, 30))
    take(settings, file)
    before = bronze(settings)
    # Nothing was set aside yet.
    assert take(settings, file, again=True).already_ingested == 30
    for _ in range(2):
        assert out(settings, FIRST_DAY) == 24
        # By itself it stays out, however it came in before.
        assert take(settings, file).already_ingested == 30
        report = take(settings, file, again=True)
        assert (report.ingested, report.duplicates) == (24, 6)
        assert take(settings, file, again=True).already_ingested == 30
        assert bronze(settings) == before


def test_a_file_that_is_new_when_it_is_taken_in_again_stays_out_by_itself_as_well(
    tmp_path: Path, settings: Settings
) -> None:
    take(settings, write_parquet(tmp_path / "bad.parquet", transactions(0, 30, amount_minor=7)))
    out(settings, FIRST_DAY)
    mended = write_parquet(tmp_path / "mended.parquet", transactions(0, 24))
    assert take(settings, mended, again=True).ingested == 24
    out(settings, FIRST_DAY)
    assert take(settings, mended).already_ingested == 24
    assert take(settings, mended, again=True).ingested == 24


def test_a_row_that_is_rejected_again_is_kept_once(tmp_path: Path, settings: Settings) -> None:
    rows = [*transactions(0, 9), transaction(9, card_id="")]
    file = write_parquet(tmp_path / "rows.parquet", rows)
    take(settings, file)
    out(settings, FIRST_DAY)
    before = rejected(settings)
    assert take(settings, file, again=True).rejected == {Reason.NULL_KEY: 1}
    assert rejected(settings) == before
    assert take(settings, file).already_rejected == {Reason.NULL_KEY: 1}


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("fatal", [1, 2, 3])
def test_taking_in_again_goes_on_where_it_was_killed(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, fatal: int
) -> None:
    file = write_parquet(tmp_path / "rows.parquet", transactions(0, 12))
    take(settings, file)
    before = bronze(settings)
    out(settings, FIRST_DAY)
    commit, commits = Appender._commit, 0

    def dying(*arguments: Any) -> None:
        nonlocal commits
        commits += 1
        if commits == fatal:
            raise KeyboardInterrupt
        commit(*arguments)

    with monkeypatch.context() as killed:
        killed.setattr(Appender, "_commit", dying)
        with pytest.raises(KeyboardInterrupt):
            take(settings, file, again=True)
    done = len(bronze(settings))
    report = take(settings, file, again=True)
    assert (report.already_ingested, report.ingested) == (done, 12 - done)
    assert bronze(settings) == before


def test_rows_that_were_set_aside_wait_until_they_are_there_again(
    tmp_path: Path, settings: Settings
) -> None:
    one = write_parquet(tmp_path / "one.parquet", transactions(0, 9))
    two = write_parquet(tmp_path / "two.parquet", transactions(9, 12))
    for file in (one, two):
        assert not take(settings, file).set_aside_waits
    assert not take(settings, one).set_aside_waits
    out(settings, FIRST_DAY)
    assert take(settings, one).set_aside_waits
    take(settings, one, again=True)
    # The other's rows are still out.
    assert take(settings, one).set_aside_waits
    take(settings, two, again=True)
    assert not take(settings, one).set_aside_waits
