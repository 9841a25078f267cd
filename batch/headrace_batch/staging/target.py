"""Where a training set is published: a folder of this machine, or an object store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from headrace_batch.first_line import first_line
from headrace_schemas.errors import ConfigurationError, RetryableError

#: Stores that the settings of the warehouse reach.
_OF_WAREHOUSE = frozenset({"s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"})

_BUFFER = 1 << 20
#: Ends the name of a file of this machine until all of it is there.
UNFINISHED = ".new"


@dataclass(frozen=True)
class Target:
    """Files below a place, to be written; workers of Spark have one as well.

    Attributes:
        place: a path, or a URL that fsspec or the warehouse's settings reach.
        storage_options: of the warehouse.
    """

    place: str
    storage_options: Mapping[str, str] = field(default_factory=dict)

    def write(self, name: str, content: bytes) -> None:
        """Write a file as a whole, in place of one of that name.

        Raises:
            RetryableError: the store can't be reached, or the disk is full.
        """
        with self._explained(name, "written", "has room") as (system, root):
            path = f"{root}/{name}"
            system.makedirs(path.rpartition("/")[0], exist_ok=True)
            if self._is_of_warehouse:
                # Buffered, as what deltalake opens takes bytes, and no buffers of Arrow.
                with system.fs.open_output_stream(path, buffer_size=_BUFFER) as out:
                    out.write(content)
                return
            if not self.is_local:
                system.pipe_file(path, content)
                return
            # Whoever reads it has the former one or this one.
            with system.open(f"{path}{UNFINISHED}", "wb") as file:
                file.write(content)
            system.mv(f"{path}{UNFINISHED}", path)

    def read(self, name: str) -> bytes | None:
        """A file as a whole; None where there is none.

        Raises:
            RetryableError: the store can't be reached.
        """
        with self._explained(name, "read") as (system, root):
            try:
                found: bytes = system.cat_file(f"{root}/{name}")
            except FileNotFoundError:
                return None
        return found

    def files(self, folder: str) -> dict[str, int]:
        """The files and folders in a folder below the place by name, each with its size in bytes.

        Raises:
            RetryableError: the store can't be reached.
        """
        with self._explained(folder, "listed") as (system, root):
            try:
                found = system.ls(f"{root}/{folder}", detail=True)
            except FileNotFoundError:
                return {}
        # Of a folder not every store says a size.
        sizes = {one["name"].rstrip("/").rpartition("/")[2]: one["size"] or 0 for one in found}
        return dict(sorted(sizes.items()))

    def delete(self, names: Iterable[str]) -> None:
        """Delete files below the place, where they are still there.

        Raises:
            RetryableError: the store can't be reached, or doesn't let them be deleted.
        """
        for name in names:
            with (
                self._explained(name, "deleted", "lets it be deleted") as (system, root),
                suppress(FileNotFoundError),
            ):
                system.rm_file(f"{root}/{name}")

    def require_writable(self, name: str) -> None:
        """See that files can be written and deleted; of a folder of this machine nothing is left.

        Args:
            name: of a file in a store, of which nobody makes anything.

        Raises:
            RetryableError: they can't, or the store can't be reached.
        """
        if not self.is_local:
            self.write(name, b"")
            self.delete([name])
            return
        with self._explained(name, "written", "has room") as (_, root):
            folder = Path(root)
            missing = [one for one in (folder, *folder.parents) if not one.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=folder):
                pass
            # Somebody else may have put something into one of them.
            with suppress(OSError):
                for one in missing:
                    one.rmdir()

    @property
    def is_local(self) -> bool:
        """Whether that is on this machine."""
        return urlsplit(self.place).scheme in {"", "file"}

    @property
    def _is_of_warehouse(self) -> bool:
        return urlsplit(self.place).scheme in _OF_WAREHOUSE

    @contextmanager
    def _explained(self, name: str, what: str, also: str = "") -> Iterator[tuple[Any, str]]:
        """The file system and the place in it, whose errors inside become one line on a file."""
        try:
            yield self._system()
        except (OSError, pa.ArrowException) as error:
            raise RetryableError(
                f"{self.place}/{name} can't be {what}: {first_line(error)}",
                hint=f"see that the store is there{also and f' and {also}'}, and run it again",
            ) from error

    def _system(self) -> tuple[Any, str]:
        try:
            import fsspec
            from fsspec.implementations.arrow import ArrowFSWrapper
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "training sets are written through the package fsspec",
                hint="pip install 'headrace[training]'",
            ) from error
        try:
            if self._is_of_warehouse:
                from headrace_batch.locations import located

                system, root = located(self.place, self.storage_options)
                return ArrowFSWrapper(system), root.rstrip("/")
            system, root = fsspec.core.url_to_fs(self.place)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(
                f"{self.place} can't be reached: {error}",
                hint="name a folder by its path, or by a URL such as s3://bucket/folder",
            ) from error
        return system, root.rstrip("/")
