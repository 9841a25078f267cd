"""Ingests files into bronze tables: the whole of it, without Spark, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from headrace_batch.ingest.appending import IngestOf
from headrace_batch.ingest.checks import Circumstances, check
from headrace_batch.ingest.feeds import Feed
from headrace_batch.ingest.input_files import InputFile, find_files
from headrace_batch.ingest.reading import feeds_of, read_rows, require_columns, rows_in
from headrace_batch.ingest.references import known_values
from headrace_batch.ingest.report import IngestReport
from headrace_batch.ingest.source_tables import SourceTables
from headrace_batch.lineage import files_outcome, files_work
from headrace_batch.warehouse import Warehouse
from headrace_features.lineage.recording import recorded
from headrace_features.project import Project
from headrace_schemas.settings import Settings

#: Rows that go into one commit; fewer where they are wide or many are rejected.
CHUNK_ROWS = 2_000_000

_CHUNK_BYTES = 256 << 20
# A rejected row is kept as objects with its text until it is committed.
_CHUNK_REJECTED = 100_000

#: Is told how many rows are done, and of how many in all where that is known.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class _Target:
    """One source that the files feed."""

    feed: Feed
    tables: SourceTables
    circumstances: Circumstances


def ingest(  # noqa: PLR0913 - all but the first three have defaults and are named
    settings: Settings,
    project: Project,
    place: str,
    *,
    file_format: str | None = None,
    source: str | None = None,
    arrived_ms: int | None = None,
    again: bool = False,
    on_progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> IngestReport:
    """Take files of events into the bronze tables of their sources, each event once.

    However often it runs, and wherever it was stopped: what a content has brought in is recorded
    with its rows, and a later run goes on from there. An event whose dedup key is already known
    is a duplicate, whichever file it comes from; the first one stays. Rows that break the
    contract or a rule of their source, or lie in the future, go to the table quarantine.<source>
    with all their reasons.

    Args:
        settings: where the warehouse is.
        project: declares the sources.
        place: a file, a folder or a glob; a path or a URL.
        file_format: parquet, csv, jsonl or handbook; by default the suffix of each file decides.
        source: the source that the files feed; may be left out where the project has one.
        arrived_ms: when the files have arrived, ms UTC, for rules on that; None: nothing tells.
        again: take files in though they were before: rows of theirs that were set aside since come
            in. What is done of that is recorded until a day of the source is set aside once more.
        on_progress: is told how far it is.
        clock: seconds that never go back.
        wall: seconds since 1970, UTC.

    Raises:
        ConfigurationError: nothing to read, a file that can't be read, a column that is missing
            or of the wrong type, a damaged table.
        UnsupportedError: a format or a suffix that is not read.
        RetryableError: other writers were in the way, or the store can't be reached.
    """
    start = clock()
    files = find_files(place, file_format, settings.warehouse.storage_options)
    feeds = feeds_of(project, file_format, source)
    ignored = require_columns(files, feeds)
    sources = [feed.contract.source for feed in feeds]
    works = files_work(settings, sources, (file.url for file in files))
    with recorded(settings, works) as runs:
        warehouse = Warehouse.of(settings)
        now_ms = int(wall() * 1000)
        targets = [
            _Target(
                feed,
                SourceTables(feed.contract, warehouse),
                Circumstances(
                    now_ms,
                    arrived_ms,
                    known_values(warehouse, feed.contract.source, project.sources),
                ),
            )
            for feed in feeds
        ]
        total = rows_in(files) if on_progress else None
        rows = 0
        for file in files:
            told = _later(on_progress, rows, total)
            rows += _ingest_file(file, file_format or file.kind, targets, told, again=again)
        report = IngestReport(
            files=tuple(file.url for file in files),
            format=file_format or ", ".join(sorted({file.kind for file in files})),
            rows=rows,
            seconds=clock() - start,
            sources=tuple(target.tables.report(ignored) for target in targets),
        )
        for one, work, done in zip(sources, works, report.sources, strict=True):
            runs.end(work.job, partial(files_outcome, settings, one, work, done))
    return report


def _ingest_file(
    file: InputFile,
    file_format: str,
    targets: Sequence[_Target],
    on_rows: Callable[[int], None],
    *,
    again: bool,
) -> int:
    """Take one file in; the number of its rows."""
    content = file.content_hash()
    begun = [
        one.tables.begin(
            IngestOf(one.feed.contract.ingest_id(file_format, content), file.url), again=again
        )
        for one in targets
    ]
    last = after = min(begun)
    committed = after
    for raw in read_rows(file, [one.feed for one in targets], after):
        last = raw.last
        for one in targets:
            if last > one.tables.done:
                rest = raw.after(one.tables.done)
                columns = one.feed.take(rest.table)
                one.tables.add(check(rest, columns, one.feed.contract, one.circumstances))
        on_rows(last)
        if last - committed >= CHUNK_ROWS or any(_is_full(one.tables) for one in targets):
            _commit(targets, last)
            committed = last
    _commit(targets, last)
    on_rows(last)
    return last


def _is_full(tables: SourceTables) -> bool:
    return tables.pending_bytes >= _CHUNK_BYTES or tables.pending_rejected >= _CHUNK_REJECTED


def _commit(targets: Sequence[_Target], upto: int) -> None:
    for one in targets:
        one.tables.commit(upto)


def _later(on_progress: Progress | None, before: int, total: int | None) -> Callable[[int], None]:
    """Tells of rows of one file, given the rows of the files before it."""

    def told(rows: int) -> None:
        if on_progress is not None:
            on_progress(before + rows, total)

    return told
