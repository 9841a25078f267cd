"""The warehouse: where the Delta tables lie, opened, created and read without Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from pyarrow import fs

from headrace_batch.first_line import first_line
from headrace_batch.locations import located
from headrace_schemas.errors import ConfigurationError, HeadraceError, RetryableError
from headrace_schemas.tables import relative_path

if TYPE_CHECKING:
    import pyarrow.compute as pc
    import pyarrow.dataset as pa_ds

    from headrace_schemas.settings import Settings

# Characters of a folder's name with which deltalake 1.6 fails, each in its own way.
_UNADDRESSABLE = frozenset("%[]\\^|")


@dataclass(frozen=True, slots=True)
class Warehouse:
    """A folder or object-store prefix that holds tables, named such as `bronze.transactions`.

    `url` is an absolute path or the URL of an object store; `storage_options` are what that
    store needs, by the names that deltalake knows. Tables of which `versions` has one are read as
    they were then.
    """

    url: str
    storage_options: Mapping[str, str] = field(default_factory=dict, repr=False)
    versions: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse folders that the Delta library can't address."""
        found = sorted(_UNADDRESSABLE & set(self.url)) if "://" not in self.url else []
        if found:
            raise ConfigurationError(
                f"the warehouse {self.url} has {' '.join(found)} in its path, which Delta tables"
                " can't be written to",
                hint="set [warehouse] path in headrace.toml, or HEADRACE_WAREHOUSE_PATH",
            )

    @classmethod
    def of(cls, settings: Settings) -> Warehouse:
        """The warehouse that the settings name."""
        return cls(settings.warehouse.path, settings.warehouse.storage_options)

    def uri(self, table: str) -> str:
        """The path or URL of a table, whether it exists or not."""
        return f"{self.url.rstrip('/')}/{relative_path(table)}"

    def exists(self, table: str) -> bool:
        """Whether there is such a table; raises ConfigurationError where its log is damaged."""
        return self.find(table) is not None

    def tables(self, schema: str) -> list[str]:
        """The names of the folders of a schema, in order: its tables, without the schema.

        Raises:
            RetryableError: the store can't be reached.
        """
        try:
            filesystem, root = located(self.url.rstrip("/"), self.storage_options)
            selector = fs.FileSelector(f"{root}/{schema}", allow_not_found=True)
            found = filesystem.get_file_info(selector)
        except (OSError, pa.ArrowException) as error:
            raise RetryableError(
                f"the tables below {self.url}/{schema} can't be listed: {first_line(error)}",
                hint="check the disk or the object store, then run it again",
            ) from error
        return sorted(one.base_name for one in found if one.type is fs.FileType.Directory)

    def find(self, table: str) -> DeltaTable | None:
        """The newest version of a table, or None where there is no such table.

        Raises:
            ConfigurationError: its log can't be read.
            RetryableError: the store can't be reached.
        """
        with self.explaining(table):
            self._require_whole_log(table)
            try:
                return DeltaTable(
                    self.uri(table),
                    version=self.versions.get(table),
                    storage_options=dict(self.storage_options),
                )
            except TableNotFoundError as error:
                # That error also stands for a URL that no store is known for.
                if "Unknown scheme" in str(error):
                    raise
                return None

    def open(self, table: str) -> DeltaTable:
        """The newest version of a table that has to exist.

        Raises:
            ConfigurationError: there is no such table, or its log can't be read.
            RetryableError: the store can't be reached.
        """
        found = self.find(table)
        if found is None:
            raise ConfigurationError(
                f"there is no table {table} at {self.uri(table)}",
                hint="fill it first: headrace ingest for events, headrace backfill for features",
            )
        return found

    def versions_now(self, tables: Iterable[str]) -> dict[str, int]:
        """The versions of tables that are read, by name; raises as `open` does."""
        return {table: self.open(table).version() for table in sorted(set(tables))}

    def create(
        self,
        table: str,
        schema: pa.Schema,
        *,
        partition_by: Sequence[str] = (),
        configuration: Mapping[str, str] | None = None,
    ) -> DeltaTable:
        """The newest version of a table, which is created empty where there is none.

        A table that exists keeps its schema. Two callers at once get the same table.
        """
        found = self.find(table)
        if found is not None:
            return found
        with self.explaining(table):
            try:
                return DeltaTable.create(
                    self.uri(table),
                    schema=schema,
                    mode="error",
                    partition_by=list(partition_by),
                    configuration=None if configuration is None else dict(configuration),
                    raise_if_key_not_exists=False,
                    storage_options=dict(self.storage_options),
                    # Otherwise the later of two creates the table anew on top of the first.
                    commit_properties=CommitProperties(max_commit_retries=0),
                )
            except DeltaError:
                # Somebody else may have created it since.
                found = self.find(table)
                if found is None:
                    raise
                return found

    def dataset(self, table: str) -> pa_ds.Dataset:
        """A table as an Arrow dataset: nothing is read until it is scanned.

        Days are pruned by a filter on the partition column. Scan it within `explaining`.
        """
        return dataset_of(self.open(table))

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
    ) -> pa.Table:
        """Some columns of the rows that fulfil `where`, in no particular order."""
        with self.explaining(table):
            return self.dataset(table).to_table(
                columns=None if columns is None else list(columns), filter=where
            )

    @contextmanager
    def explaining(
        self, table: str, *, except_for: type[DeltaError] | None = None
    ) -> Iterator[None]:
        """Turn what Delta and the store raise inside the block into one line on this table.

        An error of the type `except_for` passes as it is.
        """
        try:
            yield
        except HeadraceError:
            raise
        except (DeltaError, OSError, pa.ArrowException) as error:
            if except_for is not None and isinstance(error, except_for):
                raise
            raise self._explained(table, error) from error

    def _require_whole_log(self, table: str) -> None:
        """Refuse a log with an empty commit, as a power cut leaves it: the library reads over it.

        Object stores show no file before all of it is there.
        """
        log = Path(self.uri(table), "_delta_log")
        if "://" in self.url or not log.is_dir():
            return
        for commit in sorted(log.glob("*.json")):
            if not commit.stat().st_size:
                raise DeltaError(f"the commit {commit.name} is empty")

    def _explained(self, table: str, error: Exception) -> HeadraceError:
        where = f"table {table} at {self.uri(table)}"
        cause = first_line(error)
        if isinstance(error, TableNotFoundError):
            return ConfigurationError(
                f"{where} can't be reached: {cause}", hint="see [warehouse] path in headrace.toml"
            )
        if isinstance(error, FileNotFoundError):
            return ConfigurationError(
                f"{where} misses a data file that its log lists: {cause}",
                hint="restore the file, or move the table away and write it again",
            )
        if isinstance(error, PermissionError):
            return ConfigurationError(
                f"{where} may not be used: {cause}", hint="check the permissions of the warehouse"
            )
        if isinstance(error, OSError):
            return RetryableError(
                f"{where} can't be read or written: {cause}",
                hint="check the disk or the object store, then run it again",
            )
        return ConfigurationError(
            f"{where} has a damaged Delta log or data file: {cause}",
            hint="restore its _delta_log folder, or move the table away and write it again",
        )


def dataset_of(table: DeltaTable) -> pa_ds.Dataset:
    """One version of a table as an Arrow dataset.

    Local files are read by Arrow itself. The library's own file system is written in Python, and
    a process that ends while Arrow's threads are still in it crashes or waits for ever.
    """
    location = urlsplit(table.table_uri)
    if location.scheme != "file":
        return table.to_pyarrow_dataset()
    folder = fs.SubTreeFileSystem(unquote(location.path), fs.LocalFileSystem())
    return table.to_pyarrow_dataset(filesystem=folder)
