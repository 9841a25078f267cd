"""The formats of shards: MDS for the loader, tars of WebDataset for payloads, and Parquet."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_batch.staging.columns import ROW, texts_of
from headrace_batch.staging.times import in_ms
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.shard_kinds import Kind
from headrace_shards.errors import DamagedShardError
from headrace_shards.manifest import Shard, index_of
from headrace_shards.mds import rows_in, write_shard

if TYPE_CHECKING:
    from headrace_batch.staging.packing import Packing
    from headrace_batch.staging.splits import Array
    from headrace_shards.layout import Layout
    from headrace_shards.mds import Rows

#: What a member of a tar takes besides its content: its header, and what fills its last block.
TAR_MEMBER = 768
#: The member of each sample that has its columns.
_COLUMNS = "json"


@dataclass(frozen=True, slots=True)
class Format:
    """How shards are written.

    Attributes:
        kind: MDS, tars or Parquet.
        payloads: by column of bytes or texts the extension of its files, where tars have such.
    """

    kind: Kind = Kind.MDS
    payloads: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the files of a sample have names of their own."""
        # WebDataset knows no upper case.
        taken = [_COLUMNS, *(one.lower() for one in self.payloads.values())]
        for extension in self.payloads.values():
            if taken.count(extension.lower()) > 1 or not re.fullmatch(
                r"[A-Za-z0-9_.-]+", extension
            ):
                raise ConfigurationError(
                    f"the extension {extension!r} of a payload is taken or no name of a file",
                    hint=f"give each another one: --payload COLUMN:EXT; columns are .{_COLUMNS}",
                )

    @property
    def has_codes(self) -> bool:
        """Whether texts are kept as codes of dictionaries, and not as they are."""
        return self.kind is Kind.MDS

    @property
    def has_texts_of_numbers(self) -> bool:
        """Whether numbers are kept as JSON has them, which knows neither NaN nor infinity."""
        return self.kind is Kind.WEBDATASET

    def encoded(self, packing: Packing, table: pa.Table, order: Array, rows: Rows) -> bytes:
        """The content of a shard.

        Args:
            packing: of its rows.
            table: its rows, with all that is kept.
            order: of the rows.
            rows: packed, in their order.
        """
        out = io.BytesIO()
        match self.kind:
            case Kind.MDS:
                write_shard(out, packing.layout, rows)
            case Kind.PARQUET:
                pq.write_table(table.take(pa.array(order)), out, compression="zstd")
            case Kind.WEBDATASET:
                _write_tar(out, table.take(pa.array(order)), self.payloads)
        return out.getvalue()

    def decoded(self, content: bytes, name: str, rows: int, packing: Packing) -> Rows:
        """The packed rows of a shard.

        Args:
            content: of the shard, not compressed.
            name: what errors call it.
            rows: how many it has by the manifest.
            packing: of its rows.

        Raises:
            DamagedShardError: it isn't one of these rows.
        """
        if self.kind is Kind.MDS:
            return rows_in(content, name, packing.layout, rows)
        try:
            if self.kind is Kind.PARQUET:
                table = pq.read_table(io.BytesIO(content))
            else:
                table = _read_tar(content, packing)
        except (ValueError, KeyError, tarfile.TarError, OSError) as error:
            raise DamagedShardError(name, f"it can't be read: {error}") from error
        if len(table) != rows:
            raise DamagedShardError(name, f"it has {len(table):,} rows, expected {rows:,}")
        return packing.rows(table)


def index_for(kind: Kind, layout: Layout, shards: Sequence[Shard]) -> bytes | None:
    """The index of a split as mosaicml-streaming reads it; None where readers go by names alone."""
    return index_of(layout, tuple(shards)) if kind is Kind.MDS else None


def _plain(table: pa.Table) -> pa.Table:
    """A table whose times are numbers of milliseconds, as those of shards are."""
    for place, column in enumerate(table.schema):
        if pa.types.is_timestamp(column.type):
            table = table.set_column(place, column.name, in_ms(table.column(place)))
    return table


def _write_tar(out: io.BytesIO, table: pa.Table, payloads: Mapping[str, str]) -> None:
    """Write a sample for each row: its columns as JSON, and a file for each payload it has."""
    told = _plain(table.drop_columns(list(payloads))).to_pylist()
    content = {name: table.column(name).cast(pa.large_binary()) for name in payloads}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, row in enumerate(told):
            key = f"{row[ROW]:012}"
            _add(tar, f"{key}.{_COLUMNS}", json.dumps(row).encode())
            for name, extension in payloads.items():
                value = content[name][number].as_py()
                if value is not None:
                    _add(tar, f"{key}.{extension}", value)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _read_tar(content: bytes, packing: Packing) -> pa.Table:
    """The columns of the samples of a tar, without their payloads."""
    table = pa.Table.from_pylist(list(_samples(content)))
    for place, column in enumerate(table.schema):
        if pa.types.is_null(column.type):
            kind = pa.string() if column.name in texts_of(packing.layout) else pa.float64()
            table = table.set_column(place, column.name, table.column(place).cast(kind))
    return table


def _samples(content: bytes) -> Iterator[dict[str, Any]]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        for member in tar:
            if member.name.partition(".")[2] == _COLUMNS:
                found = tar.extractfile(member)
                assert found is not None  # noqa: S101 - a tar of ours has files alone
                yield json.loads(found.read())
