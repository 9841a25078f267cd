"""Folders beside the tables for what goes between the driver and the workers of Spark."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pyarrow import fs

from headrace_batch.warehouse import Warehouse

_FOLDER = "_scratch"
# Longer than any history takes: what is older was left behind by a process that was killed.
_FORGOTTEN_S = 2 * 86_400


@dataclass(frozen=True, slots=True)
class Scratch:
    """One such folder: below the warehouse, seen by Arrow and by Spark."""

    filesystem: fs.FileSystem
    name: str
    root: str

    def path(self, file: str) -> str:
        """A file in it, for `filesystem`."""
        return f"{_FOLDER}/{self.name}/{file}"

    def uri(self, file: str) -> str:
        """A file in it, for Spark."""
        return f"{self.root}/{_FOLDER}/{self.name}/{file}"


@contextmanager
def scratch(warehouse: Warehouse) -> Iterator[Scratch]:
    """A new folder, which is removed in the end, and with it what killed processes left."""
    filesystem = _filesystem(warehouse)
    now_s = int(time.time())
    _remove_forgotten(filesystem, now_s - _FORGOTTEN_S)
    folder = Scratch(filesystem, f"{now_s}-{uuid.uuid4().hex}", warehouse.url.rstrip("/"))
    filesystem.create_dir(f"{_FOLDER}/{folder.name}")
    try:
        yield folder
    finally:
        filesystem.delete_dir(f"{_FOLDER}/{folder.name}")


def _filesystem(warehouse: Warehouse) -> fs.FileSystem:
    if "://" not in warehouse.url:
        local = fs.LocalFileSystem()
        local.create_dir(warehouse.url)
        return fs.SubTreeFileSystem(warehouse.url, local)
    from deltalake.fs import DeltaStorageHandler

    return fs.PyFileSystem(DeltaStorageHandler(warehouse.url, dict(warehouse.storage_options)))


def _remove_forgotten(filesystem: fs.FileSystem, before_s: int) -> None:
    for info in filesystem.get_file_info(fs.FileSelector(_FOLDER, allow_not_found=True)):
        began = info.base_name.partition("-")[0]
        if began.isdigit() and int(began) < before_s:
            filesystem.delete_dir(f"{_FOLDER}/{info.base_name}")
