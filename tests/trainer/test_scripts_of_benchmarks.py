"""The scripts that benchmarks run in this environment: the peers, and the way to a device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training_sets import written

_ROOT = Path(__file__).parents[2]
_SCRIPTS = _ROOT / "orchestration/headrace_orchestration/benchmarks"


def told_by(folder: Path, script: str, *arguments: object) -> Any:
    path = os.pathsep.join(str(_ROOT / name) for name in ("schemas", "batch"))
    environ = {**os.environ, "PYTHONPATH": path, "JAVA_HOME": str(_ROOT / ".venv/jdk")}
    done = subprocess.run(
        [sys.executable, "-P", str(_SCRIPTS / script), *map(str, arguments)],
        cwd=folder, env=environ, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("reader", ["mosaicml", "webdataset"])
def test_peers_read_as_many_rows_as_they_are_told(reader: str, tmp_path: Path) -> None:
    written(tmp_path / "set", {"train": [50, 77]})
    options = ("--split", tmp_path / "set/train", "--rows", 100, "--tar", tmp_path / "rows.tar")
    told = told_by(tmp_path, "reading_peer.py", reader, *options)
    assert told["rows"] == 100
    assert told["seconds"] > 0


def test_the_peer_writes_all_rows_of_a_file(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "row": np.arange(300),
            "a": np.ones(300, np.float32),
            "b": np.zeros(300, np.float32),
        }
    )
    pq.write_table(rows, tmp_path / "rows.parquet")
    options = ("--file", tmp_path / "rows.parquet", "--out", tmp_path, "--shard-bytes", 2_000)
    told = told_by(tmp_path, "writing_peer.py", *options)
    assert told["rows"] == 300
    assert told["seconds"] > 0
    assert len(list((tmp_path / "set").rglob("*.mds"))) > 1


def test_the_way_to_a_device_is_measured_on_whatever_there_is(tmp_path: Path) -> None:
    written(tmp_path / "set", {"train": [300, 400]})
    options = (tmp_path / "set", "--batch-size", 64, "--threads", 1)
    told = told_by(tmp_path, "device_lane.py", *options, "--device", "cpu")
    assert (told["device"], told["threads"]) == ("cpu", 1)
    assert told["rows_per_s"] > 0
    assert told["copy_bytes_per_s"] > 0
    assert told["share_of_copy"] > 0
    assert 0 < told["idle_share"] < 1
