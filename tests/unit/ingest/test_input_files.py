from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from headrace_batch.ingest.input_files import FileKind, find_files
from headrace_batch.warehouse import Warehouse
from headrace_schemas.errors import ConfigurationError, UnsupportedError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.parquet",
        "a.csv",
        "deep/c.jsonl",
        "deep/er/d.ndjson",
        "e.PARQUET",
        "notes.txt",
        "_SUCCESS",
        ".part.parquet.crc",
        "_temporary/f.parquet",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(place: str, file_format: str | None = None) -> list[str]:
    return [Path(file.url).name for file in find_files(place, file_format)]


def test_the_suffix_tells_the_format(folder: Path) -> None:
    kinds = {Path(file.url).name: file.kind for file in find_files(str(folder), None)}
    assert kinds == {
        "a.csv": FileKind.CSV,
        "b.parquet": FileKind.PARQUET,
        "c.jsonl": FileKind.JSON_LINES,
        "d.ndjson": FileKind.JSON_LINES,
        "e.PARQUET": FileKind.PARQUET,
    }


def test_a_format_chooses_the_files_of_a_folder(folder: Path) -> None:
    assert names(str(folder), "jsonl") == ["c.jsonl", "d.ndjson"]
    assert names(str(folder), "handbook") == ["a.csv", "b.parquet", "e.PARQUET"]


def test_a_format_is_stronger_than_the_suffix_of_one_file(folder: Path) -> None:
    (file,) = find_files(str(folder / "notes.txt"), "csv")
    assert file.kind is FileKind.CSV


def test_a_glob_stays_within_a_name_unless_it_says_otherwise(folder: Path) -> None:
    assert names(f"{folder}/*.parquet") == ["b.parquet"]
    assert names(f"{folder}/d*/*") == ["c.jsonl"]
    assert names(f"{folder}/**/*.*son*") == ["c.jsonl", "d.ndjson"]


def test_a_path_relative_to_the_working_folder_becomes_absolute(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert [file.url for file in find_files("a.csv", None)] == [str(folder / "a.csv")]


def test_a_url_is_read_through_its_file_system(folder: Path) -> None:
    (file,) = find_files(f"file://{folder}/a.csv", None)
    assert file.url == f"file://{folder}/a.csv"
    assert file.open().read() == b"a.csv"


def test_the_content_alone_decides_the_hash(folder: Path) -> None:
    (folder / "copy.csv").write_text("a.csv")
    hashes = {file.content_hash() for file in find_files(f"{folder}/*.csv", None)}
    assert len(hashes) == 1


def test_nothing_at_a_place_is_told_with_the_place(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no file .*/nowhere.csv"):
        find_files(str(folder / "nowhere.csv"), None)
    with pytest.raises(ConfigurationError, match=r"there is no data file in .*/x\*"):
        find_files(f"{folder}/x*", None)


def test_an_unknown_suffix_names_the_known_ones(folder: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"'.txt' of .*\.parquet, \.csv, .*--format"):
        find_files(str(folder / "notes.txt"), None)


def test_an_unknown_format_names_the_known_ones(folder: Path) -> None:
    with pytest.raises(UnsupportedError, match="orc is not supported; supported: parquet, csv, js"):
        find_files(str(folder), "orc")


def test_the_folder_of_a_delta_table_is_no_folder_of_files(tmp_path: Path) -> None:
    Warehouse(str(tmp_path)).create("bronze.x", pa.schema([("a", pa.int64())]))
    with pytest.raises(UnsupportedError, match="is a Delta table"):
        find_files(str(tmp_path / "bronze" / "x"), None)


def test_an_unknown_kind_of_url_is_one_clear_error() -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere://x/y\.csv can't be read"):
        find_files("nowhere://x/y.csv", None)
