from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from headrace_batch.ingest import csv_reader, jsonl_reader
from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.csv_reader import csv_schema, read_csv
from headrace_batch.ingest.input_files import FileKind, InputFile
from headrace_batch.ingest.jsonl_reader import read_json_lines
from headrace_batch.ingest.parquet_reader import parquet_schema, read_parquet
from headrace_batch.ingest.raw_rows import RawRows
from headrace_features.fraud.definitions import transactions as source
from headrace_schemas.errors import ConfigurationError
from ingestion import transactions, write_json_lines, write_parquet

CONTRACT = contract_of(source)


def csv_of(folder: Path, raw: bytes) -> InputFile:
    path = folder / "rows.csv"
    path.write_bytes(raw)
    return InputFile(str(path), FileKind.CSV)


def rows_of(batches: list[RawRows]) -> dict[int, object]:
    """Row number → the row as a dictionary, or as the text that was refused."""
    found: dict[int, object] = {}
    for batch in batches:
        rows = batch.table.to_pylist()
        found |= dict(zip(batch.numbers.tolist(), rows, strict=True))
        found |= {row.number: row.text for row in batch.refused}
    return found


def test_csv_rows_are_read_as_text(tmp_path: Path) -> None:
    file = csv_of(tmp_path, b'a,b,c\n1,"x,\ny",\n2,"",z\n')
    assert csv_schema(file).names == ["a", "b", "c"]
    assert rows_of(list(read_csv(file, ["b", "c"], 0))) == {
        1: {"b": b"x,\ny", "c": None},
        2: {"b": b"", "c": b"z"},
    }


def test_csv_of_windows_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = csv_of(tmp_path, b"\xef\xbb\xbfa,b\r\n1,x\r\n")
    assert rows_of(list(read_csv(file, csv_schema(file).names, 0))) == {1: {"a": b"1", "b": b"x"}}


def test_na_is_text_since_it_may_be_namibia(tmp_path: Path) -> None:
    file = csv_of(tmp_path, b"country\nNA\nnull\n")
    assert rows_of(list(read_csv(file, ["country"], 0))) == {
        1: {"country": b"NA"},
        2: {"country": b"null"},
    }


@pytest.mark.parametrize("block_bytes", [64, 8 << 20])
@pytest.mark.parametrize("bad", [{1}, {10}, {5, 6, 7}, {9, 10}, set(range(1, 11)), {1, 4, 10}])
@pytest.mark.parametrize("after", [0, 1, 4, 9, 10])
def test_csv_rows_of_the_wrong_width_are_refused_and_the_others_keep_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: set[int], after: int, block_bytes: int
) -> None:
    monkeypatch.setattr(csv_reader, "_BLOCK_BYTES", block_bytes)
    lines = [f"{n}" if n in bad else f"{n},{'x' * 9}" for n in range(1, 11)]
    file = csv_of(tmp_path, "\n".join(["a,b", *lines]).encode())
    expected = {
        n: str(n) if n in bad else {"a": str(n).encode(), "b": b"x" * 9}
        for n in range(after + 1, 11)
    }
    batches = list(read_csv(file, ["a", "b"], after))
    assert rows_of(batches) == expected
    assert [batch.last for batch in batches][-1:] == ([10] if expected else [])


@pytest.mark.parametrize("raw", [b"", b"\n\n"])
def test_an_empty_csv_file_has_no_columns_and_no_rows(tmp_path: Path, raw: bytes) -> None:
    file = csv_of(tmp_path, raw)
    assert csv_schema(file).names == []
    assert list(read_csv(file, [], 0)) == []


def test_csv_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="several columns named a"):
        csv_schema(csv_of(tmp_path, b"a,b,a\n1,2,3\n"))


def test_csv_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        csv_schema(csv_of(tmp_path, "a,b\n1,é\n".encode("utf-16")))


def test_lines_of_json_become_typed_rows(tmp_path: Path) -> None:
    written = transactions(0, 5)
    path = write_json_lines(tmp_path / "rows.jsonl", written)
    found = rows_of(list(read_json_lines(InputFile(str(path), FileKind.JSON_LINES), CONTRACT, 0)))
    assert found == dict(enumerate(written, start=1))


@pytest.mark.parametrize("block_bytes", [7, 100, 8 << 20])
@pytest.mark.parametrize("after", [0, 2, 3, 5])
def test_lines_are_numbered_without_blank_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int, after: int
) -> None:
    monkeypatch.setattr(jsonl_reader, "_BLOCK_BYTES", block_bytes)
    good = [json.dumps(row) for row in transactions(0, 3)]
    text = f"\ufeff{good[0]}\n\n{good[1]}\r\n   \nnonsense\n{good[2]}\n{{}}"
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    file = InputFile(str(tmp_path / "rows.jsonl"), FileKind.JSON_LINES)
    expected = {
        1: json.loads(good[0]),
        2: json.loads(good[1]),
        3: "nonsense",
        4: json.loads(good[2]),
        5: "{}",
    }
    found = rows_of(list(read_json_lines(file, CONTRACT, after)))
    assert found == {number: row for number, row in expected.items() if number > after}


def test_an_integer_of_too_many_digits_refuses_its_line_alone(tmp_path: Path) -> None:
    rows = transactions(0, 3)
    rows[1]["amount_minor"] = 2**80
    path = write_json_lines(tmp_path / "rows.jsonl", rows)
    batches = list(read_json_lines(InputFile(str(path), FileKind.JSON_LINES), CONTRACT, 0))
    assert list(rows_of(batches)) == [1, 3, 2]
    (refused,) = batches[0].refused
    assert [(p.reason.value, p.column) for p in refused.problems] == [
        ("integer_overflow", "amount_minor")
    ]


def test_a_line_that_never_ends_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl_reader, "_LONGEST_LINE_BYTES", 1 << 20)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"x" * (9 << 20))
    with pytest.raises(ConfigurationError, match="a line of more than 1 MiB"):
        list(read_json_lines(InputFile(str(path), FileKind.JSON_LINES), CONTRACT, 0))


@pytest.mark.parametrize("after", [0, 1, 3, 4, 9, 10])
def test_parquet_rows_are_read_from_any_number_on(tmp_path: Path, after: int) -> None:
    rows = [{"a": n, "b": str(n), "c": 0} for n in range(1, 11)]
    file = InputFile(str(write_parquet(tmp_path / "rows.parquet", rows)), FileKind.PARQUET)
    found = rows_of(list(read_parquet(file, ["a", "b"], after)))
    assert found == {n: {"a": n, "b": str(n)} for n in range(after + 1, 11)}


def test_a_file_that_is_no_parquet_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(ConfigurationError, match=r"rows.parquet can't be read: .* \(is it comp"):
        parquet_schema(InputFile(str(path), FileKind.PARQUET))


def test_rejected_rows_tell_what_json_can_not_hold() -> None:
    table = pa.table(
        {
            "time": pa.array([0], pa.timestamp("us", "UTC")),
            "nan": [float("nan")],
            "raw": [b"\xff"],
            "list": [[1]],
        }
    )
    raw = RawRows(table, pa.array([1]).to_numpy(), (), 1)
    (text,) = raw.texts_at(pa.array([0]).to_numpy())
    assert json.loads(text) == {
        "time": "1970-01-01T00:00:00+00:00",
        "nan": "nan",
        "raw": "\\xff",
        "list": "[1]",
    }
