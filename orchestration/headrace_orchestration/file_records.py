"""The events of files as records for Kafka, in the order in which they become known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from headrace_batch.ingest.checks import check
from headrace_batch.ingest.feeds import Feed
from headrace_batch.ingest.input_files import find_files
from headrace_batch.ingest.reading import feeds_of, read_rows, require_columns
from headrace_features.project import Project
from headrace_orchestration.event_records import EventRecords
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason
from headrace_schemas.settings import Settings
from headrace_streaming.kafka.topics import topics_of


@dataclass(frozen=True, slots=True)
class FileRecords:
    """What some files have for the topics of their sources.

    Attributes:
        records: the events that keep to the contract, as records.
        rejected: by source, how many rows don't, by their first reason.
    """

    records: EventRecords
    rejected: Mapping[str, Counter[Reason]]


def file_records(
    settings: Settings,
    project: Project,
    place: str,
    *,
    file_format: str | None = None,
    source: str | None = None,
) -> FileRecords:
    """Read files of events, as `headrace ingest` does, for the topics of their sources.

    Args:
        settings: access to an object store.
        project: declares the sources.
        place: a file, a folder or a glob; a path or a URL.
        file_format: parquet, csv, jsonl or handbook; by default the suffix of each file decides.
        source: the source that the files feed; may be left out where the project has one.

    Raises:
        ConfigurationError: nothing to read, a file that can't be read, a column that is missing.
        BadRecordError: no row of a source keeps to the contract.
        UnsupportedError: a format or a suffix that is not read.
    """
    files = find_files(place, file_format, settings.warehouse.storage_options)
    feeds = feeds_of(project, file_format, source)
    require_columns(files, feeds)
    good: list[list[pa.Table]] = [[] for _ in feeds]
    rejected: list[Counter[Reason]] = [Counter() for _ in feeds]
    for file in files:
        for raw in read_rows(file, feeds, 0):
            for feed, tables, refused in zip(feeds, good, rejected, strict=True):
                checked = check(raw, feed.take(raw.table), feed.contract)
                tables.append(checked.good.select(feed.contract.schema.names))
                refused.update(row.problems[0].reason for row in checked.rejected)
    for feed, tables, refused in zip(feeds, good, rejected, strict=True):
        _require_some(feed, sum(map(len, tables)), refused)
    sources = [feed.contract.source for feed in feeds]
    events = [
        (one, pa.concat_tables([feed.contract.schema.empty_table(), *tables]))
        for one, feed, tables in zip(sources, feeds, good, strict=True)
    ]
    keys = {topic.name: topic.key for topic in topics_of(project)}
    refused_of = {one.name: refused for one, refused in zip(sources, rejected, strict=True)}
    return FileRecords(EventRecords(events, keys), refused_of)


def _require_some(feed: Feed, rows: int, refused: Counter[Reason]) -> None:
    if refused and not rows:
        (reason, _), *_ = refused.most_common(1)
        told = ", ".join(f"{one} {count}" for one, count in refused.most_common())
        name = feed.contract.source.name
        raise BadRecordError(reason, f"all rows break the contract ({told}): is this of {name}?")
