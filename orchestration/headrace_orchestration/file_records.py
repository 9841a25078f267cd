"""The events of files as records for Kafka, in the order in which they become known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pyarrow as pa

from headrace_batch.ingest.checks import check
from headrace_batch.ingest.feeds import Feed
from headrace_batch.ingest.input_files import find_files
from headrace_batch.ingest.reading import feeds_of, read_rows, require_columns
from headrace_features.definitions.sources import EventSource
from headrace_features.kernel.arrays import Ints
from headrace_features.project import Project
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason
from headrace_schemas.settings import Settings
from headrace_streaming.kafka.disorder import Sent
from headrace_streaming.kafka.topics import topics_of

#: Records that are made at once.
_BATCH = 1 << 15


@dataclass(frozen=True, slots=True)
class FileRecords:
    """What some files have for the topics of their sources.

    Attributes:
        events: by source, the events that keep to the contract.
        rejected: by source, how many rows don't, by their first reason.
        keys: by source, the column that its records are keyed by.
    """

    events: Sequence[tuple[EventSource, pa.Table]]
    rejected: dict[str, Counter[Reason]]
    keys: dict[str, str] = field(repr=False)

    def __len__(self) -> int:
        """How many records there are."""
        return sum(len(table) for _, table in self.events)

    def __iter__(self) -> Iterator[Sent]:
        """The records; of one instant first those that only then become known."""
        known = [table[_known(source)].to_numpy() for source, table in self.events]
        place = np.concatenate([np.arange(len(times)) for times in known])
        prompt = [int(source.available_at is None) for source, _ in self.events]
        sizes = [len(times) for times in known]
        of_source = np.repeat(np.arange(len(known)), sizes)
        at_ms = np.concatenate(known)
        order = np.lexsort((of_source, np.repeat(prompt, sizes), at_ms))
        for start in range(0, len(order), _BATCH):
            some = order[start : start + _BATCH]
            yield from self._records(of_source[some], place[some], at_ms[some])

    def _records(self, of_source: Ints, place: Ints, at_ms: Ints) -> Iterator[Sent]:
        rows = [
            iter(table.take(pa.array(place[of_source == number])).to_pylist())
            for number, (_, table) in enumerate(self.events)
        ]
        topics = [source.topic for source, _ in self.events]
        keys = [self.keys[source.name] for source, _ in self.events]
        encode = msgspec.json.Encoder().encode
        for number, time_ms in zip(of_source.tolist(), at_ms.tolist(), strict=True):
            row = next(rows[number])
            yield Sent(time_ms, topics[number], str(row[keys[number]]), encode(row))


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
    for file in files:
        require_columns(file, feeds)
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
    topic_keys = {topic.name: topic.key for topic in topics_of(project)}
    sources = [feed.contract.source for feed in feeds]
    return FileRecords(
        [
            (one, pa.concat_tables([feed.contract.schema.empty_table(), *tables]))
            for one, feed, tables in zip(sources, feeds, good, strict=True)
        ],
        {one.name: refused for one, refused in zip(sources, rejected, strict=True)},
        {one.name: topic_keys[one.topic] for one in sources},
    )


def _known(source: EventSource) -> str:
    return source.available_at or source.event_time


def _require_some(feed: Feed, rows: int, refused: Counter[Reason]) -> None:
    if refused and not rows:
        (reason, _), *_ = refused.most_common(1)
        told = ", ".join(f"{one} {count}" for one, count in refused.most_common())
        name = feed.contract.source.name
        raise BadRecordError(
            reason, f"all {refused.total()} rows break the contract ({told}): is this of {name}?"
        )
