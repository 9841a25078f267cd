"""The shards of a set, written by this process: rows are put aside by shard, then sorted."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace_batch.staging.columns import ROW
from headrace_batch.staging.shard_writing import ShardTask, WrittenShard, write
from headrace_batch.staging.splits import places, shard_of

if TYPE_CHECKING:
    from headrace_batch.staging.splits import Array

_PREFIX = "shards-"
#: Longer than any set takes to be written.
_FORGOTTEN_S = 2 * 86_400


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
    _delete_forgotten(scratch)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=_PREFIX) as folder:
        aside = _Aside(Path(folder))
        for table, splits in tables:
            place = places(table.column(ROW).to_numpy(), task.seed)
            found = np.zeros(len(table), np.int64)
            for split, count in shards.items():
                mine = splits == split
                found[mine] = firsts[split] + shard_of(place[mine], count)
            aside.put(found, table.select(task.columns))
        for split, count in shards.items():
            for number in range(count):
                rows = aside.take(firsts[split] + number)
                # Of few large rows chance may give a shard none.
                if rows is not None:
                    yield write(task, split, number, attempt, rows)


def _delete_forgotten(scratch: Path) -> None:
    """Delete what processes that were killed have put aside."""
    for path in scratch.glob(f"{_PREFIX}*"):
        if path.stat().st_mtime < time.time() - _FORGOTTEN_S:
            shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Aside:
    """Rows in a file for each shard, in the order in which they came."""

    folder: Path

    def put(self, shards: Array, table: pa.Table) -> None:
        """Put rows aside, each for its shard."""
        order = np.argsort(shards, kind="stable")
        found, begins = np.unique(shards[order], return_index=True)
        ends = [*begins[1:].tolist(), len(order)]
        # In one piece each, else its parts would be taken once for every piece.
        ordered = table.combine_chunks().take(pa.array(order)).combine_chunks()
        for shard, begin, end in zip(found.tolist(), begins.tolist(), ends, strict=True):
            with (
                self._path(shard).open("ab") as file,
                pa.ipc.new_stream(file, table.schema) as stream,
            ):
                stream.write_table(ordered.slice(begin, end - begin))

    def take(self, shard: int) -> pa.Table | None:
        """The rows of a shard, which are no longer put aside; None where there are none."""
        path = self._path(shard)
        if not path.exists():
            return None
        found: list[pa.RecordBatch] = []
        with pa.OSFile(str(path)) as file:
            while file.tell() < file.size():
                found += pa.ipc.open_stream(file)
        path.unlink()
        return pa.Table.from_batches(found)

    def _path(self, shard: int) -> Path:
        return self.folder / str(shard)
