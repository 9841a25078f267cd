"""The contract of a source as ingestion uses it: columns with their roles, and Arrow schemas."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from headrace_features.definitions.sources import EventSource
from headrace_schemas.codec import Codec
from headrace_schemas.columns import Column, ColumnType
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.tables import (
    EVENT_DATE,
    KAFKA_OFFSET,
    KAFKA_PARTITION,
    KAFKA_TOPIC,
    quarantine_table,
)

_ARROW = {
    ColumnType.INT64: pa.int64(),
    ColumnType.FLOAT64: pa.float64(),
    ColumnType.STRING: pa.string(),
    ColumnType.BOOL: pa.bool_(),
}

#: What the rows of a bronze table have besides once some of them came from Kafka.
POSITION_SCHEMA = pa.schema(
    [(KAFKA_TOPIC, pa.string()), (KAFKA_PARTITION, pa.int32()), (KAFKA_OFFSET, pa.int64())]
)

#: Rejected rows of any source: which file and row, all reasons why and the columns that they
#: concern, the row itself, and what could be read of it as a JSON object of the contract's columns.
#: A reason is one of every contract, or the name of a rule. A record of Kafka has its topic and
#: partition for a file, and its offset for a number.
QUARANTINE_SCHEMA = pa.schema(
    [
        ("ingest_id", pa.string()),
        ("file", pa.string()),
        ("row_number", pa.int64()),
        ("reasons", pa.list_(pa.string())),
        ("columns", pa.list_(pa.string())),
        ("raw", pa.string()),
        ("event", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Contract:
    """What a row of a source has to fulfil and where it goes.

    `codec` is what the stream would check the same events with; `columns` are its columns.
    """

    name: str
    source: EventSource
    codec: Codec[Any]
    schema: pa.Schema

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns in the order of declaration, with their roles."""
        return self.codec.columns

    @property
    def bronze_schema(self) -> pa.Schema:
        """The columns of the bronze table."""
        return self.schema.append(pa.field(EVENT_DATE, pa.date32()))

    @property
    def quarantine_table(self) -> str:
        """Where rows that break the contract or a rule are kept."""
        return quarantine_table(self.source.name)

    def ingest_id(self, file_format: str, content_hash: str) -> str:
        """What identifies the ingestion of one content under this contract.

        A file that is ingested again once the contract or a rule has changed is read again: rows
        that were rejected may now be good.
        """
        source = self.source
        parts = [
            *(source.name, source.event_time, source.dedup_key, source.available_at or ""),
            *(file_format, content_hash),
            *map(repr, source.rules),
        ]
        told = msgspec.json.encode([parts, self.columns])
        return hashlib.sha256(told).hexdigest()[:32]


def contract_of(source: EventSource) -> Contract:
    """The contract of a source.

    Raises ConfigurationError where a column has the name of the partition column.
    """
    for column in source.columns:
        if column.name.lower() == EVENT_DATE:
            raise ConfigurationError(
                f"{source.schema.__name__}.{column.name} has the name of the column that bronze"
                " tables are partitioned by",
                hint="rename it",
            )
    codec = source.codec
    schema = pa.schema([(column.name, _ARROW[column.type]) for column in codec.columns])
    return Contract(source.schema.__name__, source, codec, schema)
