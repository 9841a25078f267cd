"""`bench loader`: rows of a training set, beside other readers of the same rows on the same core.

Ours and Parquet's come shuffled, in batches of arrays; mosaicml-streaming's and WebDataset's one by
one. All run in turn on one core.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow.dataset as pds

from headrace_orchestration.benchmarks.figures import rates_in_turn
from headrace_orchestration.benchmarks.trainer import told_by, trainer_python
from headrace_orchestration.benchmarks.training_rows import (
    IDS,
    INPUTS,
    LABEL,
    one_core,
    publish_rows,
    write_rows,
)
from headrace_shards import Loader

BATCH_ROWS = 8_192
PREFETCH = 4
#: Rows that the peers read, which take a thousand times longer.
_PEER_ROWS = 20_000
#: Batches while which memory is looked at, which takes long.
_TRACED_BATCHES = 100
#: Doubles in an array that no cache holds.
_COPIED = 1 << 25
_FILE, _SET = "rows.parquet", "set"


@dataclass(frozen=True, slots=True)
class LoaderFigures:
    """What was measured, on one core; rates are medians, a second.

    Attributes:
        rows, row_bytes, batch_rows: of the set.
        rows_per_s, least_rows_per_s: shuffled rows of shards whose hashes have been checked, from
            memory, and in the slowest round.
        first_rows_per_s: of a first epoch, in which hashes are checked.
        cold_rows_per_s: of a first epoch from the disk, shards not being in memory.
        memory_bytes_per_s: that copying a large array reads and writes.
        share_of_memory_bandwidth: of it what rows come to that are read once and written once.
        buffer_bytes, most_buffer_bytes: of the loader's own, and twice the batches read ahead.
        parquet_rows_per_s: shuffled rows of a Parquet file, within batches of the same size.
        peer_rows: that mosaicml-streaming and WebDataset read.
        peer_rows_per_s: of mosaicml-streaming, from the same shards; None where it was left out.
        webdataset_rows_per_s: of WebDataset, from a tar of the same rows.
        loader_to_peer: our rate divided by that of mosaicml-streaming.
        device: what `device_lane.py` says; None where there is no GPU.
    """

    rows: int
    row_bytes: int
    batch_rows: int
    repeat: int
    rows_per_s: float
    least_rows_per_s: float
    first_rows_per_s: float
    cold_rows_per_s: float
    memory_bytes_per_s: float
    share_of_memory_bandwidth: float
    buffer_bytes: int
    most_buffer_bytes: int
    parquet_rows_per_s: float
    peer_rows: int
    peer_rows_per_s: float | None
    webdataset_rows_per_s: float | None
    loader_to_peer: float | None
    device: Mapping[str, Any] | None


def measure(
    rows: int,
    repeat: int,
    python: Path | None,
    advance: Callable[[str], None],
    *,
    with_peer: bool,
) -> LoaderFigures:
    """Make a set and read it by all contenders.

    Args:
        rows: of the set.
        repeat: rounds.
        python: of the peers' environment, if it is not the checkout's.
        advance: is told what runs next.
        with_peer: whether there are peers.

    Raises:
        ConfigurationError: the peers' environment is missing.
    """
    peer = trainer_python(python) if with_peer else None
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    try:
        advance("make a set")
        write_rows(folder / _FILE, rows)
        manifest = publish_rows(folder / _FILE, folder / _SET, folder)
        width = manifest.layout.dtype.itemsize
        warm = _loader(folder)
        contenders: dict[str, Callable[[], float]] = {
            "memory": _copy_rate,
            "loader": partial(_rate, warm),
            "first": lambda: _rate(_loader(folder)),
            "cold": partial(_cold_rate, folder),
            "parquet": partial(_parquet_rate, folder / _FILE),
        }
        peer_rows = 0 if peer is None else min(_PEER_ROWS, rows)
        if peer is not None:
            contenders |= {
                name: partial(_peer_rate, peer, name, folder, peer_rows)
                for name in ("mosaicml", "webdataset")
            }
        with one_core():
            _rate(warm)
            rates = rates_in_turn(contenders, repeat, advance)
            advance("memory")
            buffers = _buffer_bytes(_loader(folder))
        advance("device")
        device = None if peer is None else told_by(peer, "device_lane.py", folder / _SET)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    middle = {name: median(found) for name, found in rates.items()}
    theirs = middle.get("mosaicml")
    return LoaderFigures(
        rows=rows,
        row_bytes=width,
        batch_rows=warm.most_rows,
        repeat=repeat,
        rows_per_s=middle["loader"],
        least_rows_per_s=min(rates["loader"]),
        first_rows_per_s=middle["first"],
        cold_rows_per_s=middle["cold"],
        memory_bytes_per_s=middle["memory"],
        share_of_memory_bandwidth=2 * width * middle["loader"] / middle["memory"],
        buffer_bytes=buffers,
        most_buffer_bytes=2 * PREFETCH * warm.most_rows * width,
        parquet_rows_per_s=middle["parquet"],
        peer_rows=peer_rows,
        peer_rows_per_s=theirs,
        webdataset_rows_per_s=middle.get("webdataset"),
        loader_to_peer=middle["loader"] / theirs if theirs else None,
        device=device,
    )


def _loader(folder: Path) -> Loader:
    return Loader(folder / _SET, batch_size=BATCH_ROWS, prefetch=PREFETCH, last="short")


def _rate(loader: Loader) -> float:
    """Of an epoch."""
    began, rows = perf_counter(), 0
    for batch in loader:
        rows += len(batch["y"])
    return rows / (perf_counter() - began)


def _cold_rate(folder: Path) -> float:
    """Of a first epoch, after the system was told that nobody needs the shards in memory.

    It keeps what is mapped, as shards are by the loader that is warm: these are a copy.
    """
    copy = folder / "cold"
    shutil.copytree(folder / _SET, copy)
    try:
        for file in copy.rglob("*.mds"):
            with file.open("rb") as found:
                os.fsync(found.fileno())
                if hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(found.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return _rate(Loader(copy, batch_size=BATCH_ROWS, prefetch=PREFETCH, last="short"))
    finally:
        shutil.rmtree(copy)


def _copy_rate() -> float:
    """Bytes a second that a copy of a large array reads and writes; the best of some."""
    source, target = np.ones(_COPIED), np.ones(_COPIED)
    seconds = []
    for _ in range(5):
        began = perf_counter()
        np.copyto(target, source)
        seconds.append(perf_counter() - began)
    return 2 * source.nbytes / min(seconds)


def _parquet_rate(file: Path) -> float:
    """Of an epoch of a Parquet file: batches, each shuffled, as arrays like those of the loader."""
    chance = np.random.default_rng(0)
    began, rows = perf_counter(), 0
    for batch in pds.dataset(file).to_batches(batch_size=BATCH_ROWS, use_threads=False):
        order = chance.permutation(len(batch))
        for names in (IDS, INPUTS, (LABEL,)):
            np.column_stack([batch.column(name).to_numpy() for name in names])[order]
        rows += len(batch)
    return rows / (perf_counter() - began)


def _peer_rate(python: Path, name: str, folder: Path, rows: int) -> float:
    told = told_by(
        *(python, "reading_peer.py", name, "--split", folder / _SET / "train"),
        *("--rows", rows, "--tar", folder / "rows.tar"),
    )
    return float(told["rows"] / told["seconds"])


def _buffer_bytes(loader: Loader) -> int:
    """The most memory that a new loader takes while batches are read; shards are mapped."""
    tracemalloc.start()
    try:
        for batch in islice(loader, _TRACED_BATCHES):
            del batch
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
