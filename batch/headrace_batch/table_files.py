"""The files of the lake's tables, as they lie in the store: data, logs, and what is left over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from headrace_batch.locations import located
from headrace_schemas.tables import SCHEMAS

if TYPE_CHECKING:
    from headrace_batch.warehouse import Warehouse

_LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.(?:.+\.)?parquet")


@dataclass(frozen=True, slots=True)
class TableSize:
    """How large a table is.

    Attributes:
        table: its name.
        rows: how many there are, by the statistics of its log.
        files: of how many its newest version is made.
        size: what these take, in bytes.
        stored: what there is in all: with its log, and files that no version needs any more.
        commits: of how many the log has files.
    """

    table: str
    rows: int
    files: int
    size: int
    stored: int
    commits: int


class LogFiles(NamedTuple):
    """The log of a table.

    Attributes:
        commits: how many commits there are files of.
        since_checkpoint: how many of them came after the newest checkpoint.
    """

    commits: int
    since_checkpoint: int


def lake_tables(warehouse: Warehouse, named: Iterable[str]) -> list[str]:
    """The names of the tables that there are, in order: ours, and some that are named otherwise.

    Raises:
        ConfigurationError: a table is damaged.
        RetryableError: the store can't be reached.
    """
    ours = {f"{schema}.{name}" for schema in SCHEMAS for name in warehouse.tables(schema)}
    return [name for name in sorted(ours | set(named)) if warehouse.exists(name)]


def deletable(warehouse: Warehouse, table: str) -> Mapping[str, int]:
    """The files that no version of a table needs for readers any more, with their sizes in bytes.

    Also those that never were in one: their writer was killed, or its commit was refused.
    """
    with warehouse.explaining(table):
        # Some that were deleted before are named again.
        named = set(warehouse.open(table).vacuum(dry_run=True, full=True))
        return {} if not named else {p: n for p, n in _below(warehouse, table) if p in named}


def log_files(warehouse: Warehouse, table: str) -> LogFiles:
    """How long the log of a table is."""
    with warehouse.explaining(table):
        names = [path.partition("/")[2] for path, _ in _below(warehouse, table, _LOG)]
    commits = [int(found[1]) for found in map(_COMMIT.fullmatch, names) if found]
    summed = [int(found[1]) for found in map(_CHECKPOINT.fullmatch, names) if found]
    newest = max(summed, default=-1)
    return LogFiles(len(commits), sum(number > newest for number in commits))


def table_size(warehouse: Warehouse, table: str) -> TableSize:
    """How large a table is.

    Raises:
        ConfigurationError: there is none, or it is damaged.
        RetryableError: the store can't be reached.
    """
    opened = warehouse.open(table)
    with warehouse.explaining(table):
        files = pa.table(opened.get_add_actions(flatten=True))
        stored = sum(size for _, size in _below(warehouse, table))
    rows, size = (pc.sum(files[name]).as_py() or 0 for name in ("num_records", "size_bytes"))
    return TableSize(table, rows, len(files), size, stored, log_files(warehouse, table).commits)


def _below(warehouse: Warehouse, table: str, folder: str = "") -> list[tuple[str, int]]:
    """The files below a table, or a folder of it, by their paths there, with their sizes."""
    filesystem, root = located(warehouse.uri(table), warehouse.storage_options)
    within = f"{root}/{folder}" if folder else root
    found = filesystem.get_file_info(fs.FileSelector(within, recursive=True))
    return [
        (info.path.removeprefix(f"{root}/"), info.size or 0)
        for info in found
        if info.type is fs.FileType.File
    ]
