"""Other readers of training sets, the peers of `bench loader`.

A script for an environment of its own, which has mosaicml-streaming and WebDataset and nothing of
Headrace. Both give one row after the other, in the order in which they lie there: neither shuffles
nor puts rows together to batches, which is in their favour. It prints a line of JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any


def dataset(split: Path) -> Any:
    """The rows of a split as mosaicml-streaming has them, on this machine."""
    # By name: a type checker takes another folder of that name for it.
    return importlib.import_module("streaming").LocalDataset(str(split))


def read_mds(split: Path, rows: int) -> float:
    """Read rows by mosaicml-streaming; returns the seconds."""
    found = dataset(split)
    found[0]
    began = perf_counter()
    for row in range(rows):
        found[row]
    return perf_counter() - began


def write_tar(split: Path, tar: Path, rows: int) -> None:
    """Have rows as a tar of WebDataset, a file for each part of a row."""
    found = dataset(split)
    with importlib.import_module("webdataset").TarWriter(str(tar)) as out:
        for row in range(rows):
            parts = {f"{name}.npy": value for name, value in found[row].items()}
            out.write({"__key__": f"{row:09}", **parts})


def read_tar(tar: Path, rows: int) -> float:
    """Read rows by WebDataset; returns the seconds."""
    webdataset = importlib.import_module("webdataset")
    began = perf_counter()
    count = sum(1 for _ in webdataset.WebDataset(str(tar), shardshuffle=False).decode())
    seconds = perf_counter() - began
    if count != rows:
        raise SystemExit(f"the tar has {count} rows, expected {rows}")
    return seconds


def main() -> None:
    """Read rows by one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("reader", choices=["mosaicml", "webdataset"])
    parser.add_argument("--split", required=True, type=Path)
    parser.add_argument("--rows", required=True, type=int)
    parser.add_argument("--tar", type=Path)
    given = parser.parse_args()
    if given.reader == "mosaicml":
        seconds = read_mds(given.split, given.rows)
    else:
        if not given.tar.exists():
            write_tar(given.split, given.tar, given.rows)
        seconds = read_tar(given.tar, given.rows)
    sys.stdout.write(json.dumps({"rows": given.rows, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()
