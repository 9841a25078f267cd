"""The shards of a set, written by this process: rows are put aside by shard, then sorted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace_batch.staging.columns import ROW
from headrace_batch.staging.shard_writing import ShardTask, WrittenShard, write
from headrace_batch.staging.splits import places, shard_of

if TYPE_CHECKING:
    from headrace_batch.staging.splits import Array
    from headrace_shards.mds import Rows


def write_shards(
    task: ShardTask,
    tables: Iterable[tuple[pa.Table, Array]],
    shards: Mapping[int, int],
    attempt: str,
    scratch: Path,
) -> Iterator[WrittenShard]:
    """Write all shards of a set, with no more than some of its rows in memory.

    Args:
        task: of the set.
        tables: its rows with their numbers, and the split of each.
        shards: by split how many it has.
        attempt: of this process.
        scratch: a folder for what is put aside; it is emptied in the end.
    """
    firsts = dict(zip(shards, np.cumsum([0, *shards.values()]).tolist(), strict=False))
    with tempfile.TemporaryDirectory(dir=scratch, prefix="shards-") as folder:
        aside = _Aside(Path(folder), task.packing.layout.dtype)
        for table, splits in tables:
            rows = task.packing.rows(table)
            place = places(table.column(ROW).to_numpy(), task.seed)
            for split, count in shards.items():
                mine = np.flatnonzero(splits == split)
                aside.put(firsts[split] + shard_of(place[mine], count), place[mine], rows[mine])
        for split, count in shards.items():
            for number in range(count):
                found = aside.sorted(firsts[split] + number)
                # Of few large rows chance may give a shard none.
                if len(found):
                    yield write(task, split, number, attempt, found)


class _Aside:
    """Rows in a file for each shard, in the order in which they came."""

    def __init__(self, folder: Path, dtype: np.dtype[np.void]) -> None:
        self._folder = folder
        self._dtype = np.dtype([("place", "<u8"), ("row", dtype)])

    def put(self, shards: Array, place: Array, rows: Rows) -> None:
        """Put rows aside, each for its shard."""
        order = np.argsort(shards, kind="stable")
        found, begins = np.unique(shards[order], return_index=True)
        ends = [*begins[1:].tolist(), len(order)]
        for shard, begin, end in zip(found.tolist(), begins.tolist(), ends, strict=True):
            mine = order[begin:end]
            kept = np.empty(len(mine), self._dtype)
            kept["place"], kept["row"] = place[mine], rows[mine]
            with self._path(shard).open("ab") as file:
                file.write(kept.view(np.uint8).data)

    def sorted(self, shard: int) -> Rows:
        """The rows of a shard in their order, which are no longer put aside."""
        path = self._path(shard)
        if not path.exists():
            return np.empty(0, self._dtype)["row"]
        kept = np.fromfile(path, self._dtype)
        path.unlink()
        found: Rows = kept["row"][np.argsort(kept["place"], kind="stable")]
        return found

    def _path(self, shard: int) -> Path:
        return self._folder / str(shard)
