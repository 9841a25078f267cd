"""From a path or URL of a file to the file system that has it and its name there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyarrow import fs

#: Stores that are reached as the tables are, with the storage options of the warehouse.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"})


def located(place: str, storage_options: Mapping[str, str]) -> tuple[fs.FileSystem, str]:
    """The file system of a place and the name in it.

    Args:
        place: a path of this machine, or a URL.
        storage_options: access to an object store, by the names that deltalake knows.

    Raises:
        OSError: the store is not known or can't be reached.
        pyarrow.ArrowInvalid: that is no URL.
    """
    scheme, separator, rest = place.partition("://")
    if not separator:
        return fs.LocalFileSystem(), str(Path(place).absolute())
    if scheme not in _OBJECT_STORES:
        filesystem, name = fs.FileSystem.from_uri(place)
        return filesystem, name
    from deltalake.fs import DeltaStorageHandler

    bucket, _, name = rest.partition("/")
    handler = DeltaStorageHandler(f"{scheme}://{bucket}", dict(storage_options))
    return fs.PyFileSystem(handler), name


def url_of(place: str, name: str) -> str:
    """The path or URL of a file in the file system of a place."""
    scheme, separator, rest = place.partition("://")
    if not separator:
        return name
    if scheme not in _OBJECT_STORES:
        return f"{scheme}://{name}"
    return f"{scheme}://{rest.partition('/')[0]}/{name}"
