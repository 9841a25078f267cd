"""Opens input files: what columns they have, whether they fit, and their rows in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from headrace_batch.ingest.csv_reader import csv_schema, read_csv
from headrace_batch.ingest.feeds import Feed, plain_feed
from headrace_batch.ingest.handbook import handbook_feeds
from headrace_batch.ingest.input_files import HANDBOOK, FileKind, InputFile
from headrace_batch.ingest.jsonl_reader import first_keys, read_json_lines
from headrace_batch.ingest.parquet_reader import parquet_schema, read_parquet, row_group_rows
from headrace_batch.ingest.raw_rows import RawRows
from headrace_features.project import Project
from headrace_schemas.errors import ConfigurationError


def feeds_of(project: Project, file_format: str | None, source: str | None) -> tuple[Feed, ...]:
    """The feeds of files of a format; `source` is needed where the project has several.

    Raises ConfigurationError for a source that is missing, unknown, or of no use here.
    """
    if file_format == HANDBOOK:
        feeds = handbook_feeds(project)
        if source is not None:
            names = " and ".join(feed.contract.source.name for feed in feeds)
            raise ConfigurationError(
                f"--source {source} can't be chosen with --format handbook, which feeds {names}",
                hint="leave --source out",
            )
        return feeds
    if source is not None:
        return (plain_feed(project.source(source)),)
    if len(project.sources) != 1:
        raise ConfigurationError(
            f"which source do the files feed? the project {project.name} has"
            f" {', '.join(project.sources)}",
            hint="name it with --source",
        )
    return (plain_feed(next(iter(project.sources.values()))),)


def require_columns(files: Sequence[InputFile], feeds: Sequence[Feed]) -> tuple[str, ...]:
    """See that files have what their feeds need; the columns that no feed reads.

    An empty file and lines of JSON have no columns to look at; there, each row is judged. Of lines
    of JSON the keys of the first one are told: later ones may have others, which nobody looks for.

    Raises:
        ConfigurationError: a file can't be read, or lacks a column.
    """
    ignored: dict[str, None] = {}
    for file in files:
        if file.kind is FileKind.JSON_LINES:
            names = first_keys(file)
            read = {column.name for feed in feeds for column in feed.contract.columns}
        else:
            schema = _schema(file)
            for feed in feeds:
                if schema.names:
                    feed.require(schema, file.url)
            names = schema.names
            read = {name for feed in feeds for name in feed.columns_in(schema)}
        # A column without a name, such as an index, is told as CSV would write it.
        ignored |= dict.fromkeys(name or '""' for name in names if name not in read)
    return tuple(ignored)


def rows_in(files: Sequence[InputFile]) -> int | None:
    """How many rows some files have; None where only reading them would tell."""
    if any(file.kind is not FileKind.PARQUET for file in files):
        return None
    return sum(sum(row_group_rows(file)) for file in files)


def read_rows(file: InputFile, feeds: Sequence[Feed], after: int) -> Iterator[RawRows]:
    """The rows of a file with numbers above `after`, with the columns that the feeds read.

    Raises ConfigurationError, at any batch, where the file is damaged.
    """
    match file.kind:
        case FileKind.JSON_LINES:
            return read_json_lines(file, feeds[0].contract, after)
        case FileKind.CSV:
            return read_csv(file, _columns(file, feeds), after)
        case FileKind.PARQUET:
            return read_parquet(file, _columns(file, feeds), after)


def _columns(file: InputFile, feeds: Sequence[Feed]) -> list[str]:
    schema = _schema(file)
    wanted = {name for feed in feeds for name in feed.columns_in(schema)}
    return [name for name in schema.names if name in wanted]


def _schema(file: InputFile) -> pa.Schema:
    return csv_schema(file) if file.kind is FileKind.CSV else parquet_schema(file)
