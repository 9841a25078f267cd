"""The result of a history appears whole or not at all, at a path as at a URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_batch.history_files import result_file
from headrace_schemas.errors import ConfigurationError

ROWS = pa.table({"row": list(range(100))})


@pytest.fixture(params=["path", "URL"])
def named(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """How a file is named."""
    return str if request.param == "path" else lambda path: f"file://{path}"


def write(name: str, rows: pa.Table) -> None:
    with result_file(name, rows.schema, {}) as writer:
        writer.write_table(rows)


def test_a_result_takes_the_place_of_an_older_one(
    tmp_path: Path, named: Callable[[Path], str]
) -> None:
    out = tmp_path / "out.parquet"
    write(named(out), ROWS.slice(0, 3))
    write(named(out), ROWS)
    assert pq.read_table(out) == ROWS
    assert list(tmp_path.iterdir()) == [out]


def test_after_an_error_the_older_result_is_still_there(
    tmp_path: Path, named: Callable[[Path], str]
) -> None:
    out = tmp_path / "out.parquet"
    write(named(out), ROWS)

    def fail_halfway() -> None:
        with result_file(named(out), ROWS.schema, {}) as writer:
            writer.write_table(ROWS.slice(0, 3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_halfway()
    assert pq.read_table(out) == ROWS
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_that_does_not_exist_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"can't be written.*folder that exists"),
        result_file(str(tmp_path / "nowhere" / "out.parquet"), ROWS.schema, {}),
    ):
        raise AssertionError("the block was entered")
