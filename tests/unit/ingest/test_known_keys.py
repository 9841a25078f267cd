from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from headrace_batch.ingest import known_keys
from headrace_batch.ingest.key_hashes import key_hashes
from headrace_batch.ingest.known_keys import KnownKeys

SCHEMA = pa.schema([("key", pa.string()), ("other", pa.int64())])


def table_of(folder: Path, *commits: list[str]) -> DeltaTable:
    table = DeltaTable.create(str(folder / "t"), SCHEMA)
    for keys in commits:
        append(table, keys)
    return table


def append(table: DeltaTable, keys: list[str]) -> None:
    rows = pa.table({"key": keys, "other": list(range(len(keys)))}, schema=SCHEMA)
    write_deltalake(table, rows, mode="append")


def new(known: KnownKeys, table: DeltaTable, *keys: str) -> list[bool]:
    found: list[bool] = known.new(table, pa.array(keys, pa.string())).at.tolist()
    return found


@given(st.lists(st.text(max_size=20), max_size=30))
def test_equal_keys_have_equal_hashes_wherever_they_stand(keys: list[str]) -> None:
    together = key_hashes(pa.array(keys, pa.string())).tolist()
    assert together == [int(key_hashes(pa.array([key]))[0]) for key in keys]


def test_a_slice_has_the_hashes_of_its_keys() -> None:
    keys = pa.array(["a", "bb", "", "cccccccccc", "d" * 8])
    assert key_hashes(keys[2:]).tolist() == key_hashes(keys).tolist()[2:]


def test_hashes_of_many_similar_keys_differ() -> None:
    keys = [f"{prefix}{n}" for n in range(20_000) for prefix in ("", "0", "card-", "x" * 30)]
    assert len(np.unique(key_hashes(pa.array(sorted(set(keys)))))) == len(set(keys))


def test_a_key_is_new_at_its_first_place_only(tmp_path: Path) -> None:
    table = table_of(tmp_path, ["old"])
    known = KnownKeys("key")
    answer = new(known, table, "a", "old", "b", "a", "old", "a", "c")
    assert answer == [True, False, True, False, False, False, True]


def test_rows_that_others_append_become_known(tmp_path: Path) -> None:
    table = table_of(tmp_path, ["a"])
    known = KnownKeys("key")
    assert new(known, table, "a", "b", "c") == [False, True, True]
    append(table, ["b"])
    assert new(known, table, "a", "b", "c") == [False, False, True]


def test_own_rows_are_known_without_being_read_again(tmp_path: Path) -> None:
    table = table_of(tmp_path, ["a"])
    known = KnownKeys("key")
    fresh = known.new(table, pa.array(["b", "a"]))
    append(table, ["b"])
    known.added(table, fresh)
    assert new(known, table, "a", "b", "c") == [False, False, True]
    assert known._files == {uri.rpartition("/")[2] for uri in table.file_uris()}


def test_keys_stay_known_when_files_are_compacted(tmp_path: Path) -> None:
    table = table_of(tmp_path, ["a"], ["b"], ["c"])
    known = KnownKeys("key")
    assert new(known, table, "b", "x") == [False, True]
    table.optimize.compact()
    assert new(known, table, "a", "b", "c", "x") == [False, False, False, True]


def test_many_small_commits_stay_known(tmp_path: Path) -> None:
    table = table_of(tmp_path)
    known = KnownKeys("key")
    for number in range(30):
        append(table, [f"k{number}"])
        assert new(known, table, f"k{number}", f"k{number + 1}", "k0") == [False, True, False]
    assert len(known._runs) <= known_keys._MOST_RUNS


def test_keys_whose_hashes_collide_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        known_keys, "key_hashes", lambda keys: np.array([len(k.as_py()) for k in keys], np.uint64)
    )
    table = table_of(tmp_path, ["aa", "cc"])
    answer = new(KnownKeys("key"), table, "bb", "aa", "dd", "bb", "z")
    assert answer == [True, False, True, False, True]
