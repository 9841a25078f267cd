"""`bench stage`: rows with features in Parquet as a published set, beside `dataframe_to_mds`.

Ours are counted, divided over shards, put into the order of their numbers, hashed, and published
with a manifest and statistics; the peer writes its rows one by one as they come. Both read Parquet,
write uncompressed shards of one size, hash them, and have one core.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from headrace_batch.staging.shard_writing import SHARD_BYTES
from headrace_features.java import java_home
from headrace_orchestration.benchmarks.figures import rates_in_turn
from headrace_orchestration.benchmarks.trainer import told_by, trainer_python
from headrace_orchestration.benchmarks.training_rows import one_core, publish_rows, write_rows

#: Rows that the peer writes, which take it as long as ours.
_PEER_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class StageFigures:
    """What was measured, on one core; rates are medians, a second.

    Attributes:
        rows, columns: of the file.
        repeat: rounds.
        rows_per_s, least_rows_per_s: that we publish, and in the slowest round.
        peer_rows: of the same kind, in the peer's file.
        peer_rows_per_s: that `dataframe_to_mds` writes; None where it was left out.
        stage_to_peer: the first divided by the last.
    """

    rows: int
    columns: int
    repeat: int
    rows_per_s: float
    least_rows_per_s: float
    peer_rows: int
    peer_rows_per_s: float | None
    stage_to_peer: float | None


def measure(
    rows: int,
    repeat: int,
    python: Path | None,
    advance: Callable[[str], None],
    *,
    with_peer: bool,
) -> StageFigures:
    """Write sets by all contenders.

    Args:
        rows: of ours.
        repeat: rounds.
        python: of the peer's environment, if it is not the checkout's.
        advance: is told what runs next.
        with_peer: whether there is a peer.

    Raises:
        ConfigurationError: the peer's environment is missing.
    """
    peer = trainer_python(python) if with_peer else None
    theirs_rows = min(rows, _PEER_ROWS) if with_peer else 0
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    try:
        advance("make rows")
        columns = write_rows(folder / "rows.parquet", rows)
        contenders: dict[str, Callable[[], float]] = {"stage": partial(_rate, folder, rows)}
        if peer is not None:
            write_rows(folder / "fewer.parquet", theirs_rows)
            contenders["dataframe_to_mds"] = partial(_peer_rate, peer, folder)
        with one_core():
            rates = rates_in_turn(contenders, repeat, advance)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ours = median(rates["stage"])
    theirs = median(rates["dataframe_to_mds"]) if with_peer else None
    return StageFigures(
        rows=rows,
        columns=columns,
        repeat=repeat,
        rows_per_s=ours,
        least_rows_per_s=min(rates["stage"]),
        peer_rows=theirs_rows,
        peer_rows_per_s=theirs,
        stage_to_peer=ours / theirs if theirs else None,
    )


def _rate(folder: Path, rows: int) -> float:
    out = folder / "set"
    began = perf_counter()
    publish_rows(folder / "rows.parquet", out, folder)
    seconds = perf_counter() - began
    shutil.rmtree(out)
    return rows / seconds


def _peer_rate(python: Path, folder: Path) -> float:
    out = folder / "peer"
    told = told_by(
        *(python, "writing_peer.py", "--file", folder / "fewer.parquet"),
        *("--out", out, "--shard-bytes", SHARD_BYTES),
        java=java_home(),
    )
    shutil.rmtree(out)
    return float(told["rows"] / told["seconds"])
