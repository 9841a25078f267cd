"""Shards by `dataframe_to_mds` of mosaicml-streaming, the peer of `bench stage`.

A script for an environment of its own, which has mosaicml-streaming and Spark and nothing of
Headrace. It writes rows as they come, neither sorted nor divided; Spark runs with one thread, and
its start doesn't count. It prints a line of JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

_WARM_ROWS = 100


def written(frame: Any, out: Path, shard_bytes: int) -> int:
    """Write a data frame; returns how many rows the shards have by their index."""
    converters = importlib.import_module("streaming.base.converters")
    converters.dataframe_to_mds(
        frame,
        mds_kwargs={
            "out": str(out),
            "compression": None,
            "hashes": ["sha256"],
            "size_limit": shard_bytes,
        },
    )
    index = json.loads((out / "index.json").read_text(encoding="utf-8"))
    return sum(shard["samples"] for shard in index["shards"])


def main() -> None:
    """Write the rows of a Parquet file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--shard-bytes", required=True, type=int)
    given = parser.parse_args()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = (
        importlib.import_module("pyspark.sql")
        .SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .getOrCreate()
    )
    frame = spark.read.parquet(str(given.file))
    # Its worker is there then, and has what it imports.
    written(frame.limit(_WARM_ROWS), given.out / "warm", given.shard_bytes)
    shutil.rmtree(given.out / "warm")
    rows = frame.count()
    began = perf_counter()
    found = written(frame, given.out / "set", given.shard_bytes)
    seconds = perf_counter() - began
    spark.stop()
    if found != rows:
        raise SystemExit(f"its shards have {found} rows, expected {rows}")
    sys.stdout.write(json.dumps({"rows": rows, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()
