"""The files of a source's table, and which of them came since one of its versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pa_ds

from headrace_batch.commits import actions_of
from headrace_batch.warehouse import Warehouse, dataset_of
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from headrace_features.definitions.sources import EventSource

_BATCH_ROWS = 1 << 17
_FILE_DATE = f"partition.{EVENT_DATE}"


@dataclass(frozen=True, slots=True)
class File:
    """A data file with events of one day.

    Attributes:
        path: below the table.
        day: of all its events, UTC.
        rows: how many it has.
    """

    path: str
    day: date
    rows: int


class EventFiles:
    """The files of a source's table, as it was when this was made.

    Attributes:
        version: of the table.
        identity: a number that another table in its place has not.
    """

    def __init__(self, warehouse: Warehouse, source: EventSource) -> None:
        """Open the table.

        Raises:
            ConfigurationError: there is no such table, or it is damaged.
        """
        self._warehouse = warehouse
        self.name = source.table
        table = warehouse.open(source.table)
        self.version = table.version()
        self.identity = identity_of(table)
        self._actions = pa.table(table.get_add_actions(flatten=True))
        self._files = dataset_of(table).filesystem

    def since(self, version: int, until: date | None = None) -> list[File] | None:
        """The files that came after a version, up to this one, by the log alone.

        Files that were put together bring no events: they don't count as having come. Nor do those
        that have gone since.

        Args:
            version: of the table.
            until: nobody has looked at later days, whose rows may have been taken out; None is any.

        Returns:
            None if that can't be told: rows were taken out that were there at the version, or what
            came was put together with other files, the log no longer reaches back to then, or the
            table was put back to before it.
        """
        if version > self.version:
            return None
        found: dict[str, File] = {}
        with self._warehouse.explaining(self.name):
            for number in range(version + 1, self.version + 1):
                actions = actions_of(self._files, number)
                if actions is None:
                    return None
                for action in actions:
                    gone, came = action.get("remove"), action.get("add")
                    if gone is not None and not _went(gone, found, until):
                        return None
                    if came is not None and came["dataChange"]:
                        file = _file(came)
                        found[file.path] = file
        return [*found.values()]

    def all(self, column: str | None = None, above: int = 0) -> list[File]:
        """All files; of those that are known to have nothing above it in a column, none.

        Args:
            column: of which the greatest value counts.
            above: what that has to be greater than.
        """
        greatest = f"max.{column}"
        names = ("path", _FILE_DATE, "num_records", greatest)
        there = [name for name in names if name in self._actions.column_names]
        found = []
        for row in self._actions.select(there).to_pylist():
            most = row.get(greatest)
            if most is None or most > above:
                found.append(File(unquote(row["path"]), row[_FILE_DATE], row["num_records"] or 0))
        return found

    def greatest(self, column: str) -> int | None:
        """The greatest value of a column; None if the log doesn't tell that of every file."""
        name = f"max.{column}"
        if name not in self._actions.column_names or self._actions[name].null_count:
            return None
        found = pc.max(self._actions[name]).as_py()
        return found if isinstance(found, int) else None

    def read(
        self, files: Sequence[File], schema: pa.Schema, where: pc.Expression | None = None
    ) -> Iterator[pa.Table]:
        """Columns of the rows of some files, in no particular order."""
        if not files:
            return
        with self._warehouse.explaining(self.name):
            dataset = pa_ds.FileSystemDataset.from_paths(
                [file.path for file in files],
                schema=schema,
                format=pa_ds.ParquetFileFormat(),
                filesystem=self._files,
            )
            scanner = dataset.scanner(
                filter=where, batch_size=_BATCH_ROWS, batch_readahead=4, fragment_readahead=2
            )
            for batch in scanner.to_batches():
                if len(batch):
                    yield pa.Table.from_batches([batch])


def identity_of(table: DeltaTable) -> int:
    """A number that another table in the place of one has not."""
    digest = hashlib.blake2b(str(table.metadata().id).encode(), digest_size=7)
    return int.from_bytes(digest.digest())


def _went(gone: dict[str, Any], found: dict[str, File], until: date | None) -> bool:
    """Whether nobody has seen what has gone; it is no longer found."""
    path = unquote(gone["path"])
    if not gone["dataChange"]:
        return path not in found
    if found.pop(path, None) is not None:
        return True
    day = (gone.get("partitionValues") or {}).get(EVENT_DATE)
    return until is not None and day is not None and date.fromisoformat(day) > until


def _file(add: dict[str, Any]) -> File:
    day = date.fromisoformat(add["partitionValues"][EVENT_DATE])
    rows = json.loads(add.get("stats") or "{}").get("numRecords", 0)
    return File(unquote(add["path"]), day, rows)
