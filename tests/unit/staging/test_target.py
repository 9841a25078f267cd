"""What a store of a training set refuses is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_batch.staging.target import Target
from headrace_schemas.errors import RetryableError


def test_what_a_store_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    target = Target(str(tmp_path / "file"))
    with pytest.raises(RetryableError, match=r"file/train can't be listed: .*Not a directory"):
        target.files("train")
    with pytest.raises(RetryableError, match=r"file/train/x can't be deleted: .*Not a directory"):
        target.delete(["train/x"])
    with pytest.raises(RetryableError, match=r"file/train/x can't be read: .*Not a directory"):
        target.read("train/x")


def test_files_are_told_with_their_sizes_and_what_is_gone_need_not_be_deleted(
    tmp_path: Path,
) -> None:
    target = Target(str(tmp_path))
    target.write("train/b", b"four")
    target.write("train/a", b"")
    assert list(target.files("train").items()) == [("a", 0), ("b", 4)]
    target.delete(["train/b", "train/b", "test/c"])
    assert list(target.files("train")) == ["a"]
    assert target.files("test") == {}
