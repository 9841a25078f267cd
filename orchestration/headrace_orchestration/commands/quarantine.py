"""`headrace quarantine`: rows that were not taken in."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_orchestration.output import JsonOption, console, print_json, print_table, progress
from headrace_orchestration.session import current_project
from headrace_schemas.counted import counted
from headrace_schemas.errors import ConfigurationError, GateError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from headrace_batch.quarantine.kept_rows import KeptRow
    from headrace_features.definitions.sources import EventSource
    from headrace_orchestration.releasing import Released, Repaired
    from headrace_schemas.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="Look at rows that were not taken in; repair and release them."
)

Source = Annotated[str, typer.Argument(help="The event source.")]
Row = Annotated[
    list[str] | None,
    typer.Option(
        "--row", help="A row, as list calls it or by its whole id; again for more. Default: all."
    ),
]
Reason = Annotated[
    list[str] | None,
    typer.Option("--reason", help="A reason or a rule: rows that have it; again for more."),
]
All = Annotated[
    bool, typer.Option("--all", help="Those too that were released, or have arrived otherwise.")
]
Limit = Annotated[int, typer.Option(min=1, help="How many rows to show, without --json.")]
Day = Annotated[str, typer.Option("--date", help="The day, UTC.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="COLUMN=EXPRESSION",
        help="Set a column of each row to a row expression over it; again for more.",
    ),
]
File = Annotated[
    Path | None,
    typer.Option("--file", help="Rows as list --json prints them, with their events changed."),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="RULE", help="Release rows that break it; again for more."),
]
_SHOWN = 100


@app.command("list")
def list_(  # noqa: PLR0913, PLR0917 - one for each option
    source: Source,
    row: Row = None,
    reason: Reason = None,
    everything: All = False,
    limit: Limit = 20,
    as_json: JsonOption = False,
) -> None:
    """List rows that were not taken in, with all reasons why."""
    from headrace_orchestration.choosing_rows import chosen_rows

    settings, project = current_project()
    declared = project.source(source)
    rows = chosen_rows(settings, declared, row or (), reason or (), everything=everything)
    if as_json:
        print_json({"source": source, "rows": [_described(one) for one in rows]})
    elif rows:
        _show(declared, rows, limit)
    else:
        _tell_of_none(declared, reason)


@app.command()
def repair(  # noqa: PLR0913, PLR0917 - one for each option
    source: Source,
    row: Row = None,
    reason: Reason = None,
    assign: Set = None,
    file: File = None,
    as_json: JsonOption = False,
) -> None:
    """Change rows, so that they can be released: by expressions, or in a file.

    Those that become events which break no rule are kept as repaired; others stay as they were.
    """
    from headrace_batch.quarantine.repairing import changed, changes_of
    from headrace_orchestration.choosing_rows import chosen_rows
    from headrace_orchestration.releasing import Rows
    from headrace_orchestration.releasing import repair as repaired

    settings, project = current_project()
    declared = project.source(source)
    if bool(assign) == (file is not None):
        raise ConfigurationError(
            "headrace quarantine repair needs either --set or --file",
            hint="see headrace quarantine repair --help",
        )
    changes = changes_of(declared, assign or ())
    rows = chosen_rows(settings, declared, row or (), reason or ())
    events = {}
    if file is not None:
        events = _events_in(file, settings, declared)
        _require_in(file, events, rows if row else ())
        rows = [one for one in rows if one.id in events]

    def change(one: KeptRow) -> Mapping[str, Any] | None:
        return changed(declared, one, changes) if file is None else events[one.id]

    done = repaired(settings, project, Rows(declared, rows), _now_ms(), change)
    if as_json:
        print_json(done)
    elif not rows:
        _tell_of_none(declared, reason)
    elif done.repaired:
        _tell_of_repair(rows, done)
    if done.left and not done.repaired:
        raise GateError(
            f"none of {counted(len(rows), 'row')} of {source} would be an event:"
            f" {'; '.join(_left_lines(rows, done))}",
            hint="none of them was changed",
        )


@app.command()
def release(
    source: Source,
    row: Row = None,
    reason: Reason = None,
    ignore: Ignore = None,
    as_json: JsonOption = False,
) -> None:
    """Take rows in that are events by now, as late events, each once.

    Records of a topic are sent to it again, other rows come into the table at once. A row that
    still breaks its contract or a rule stays where it is.
    """
    from headrace_orchestration.beside_streams import note_beside_streams
    from headrace_orchestration.choosing_rows import chosen_rows
    from headrace_orchestration.releasing import SAME_KEY, Rows
    from headrace_orchestration.releasing import release as released

    settings, project = current_project()
    declared = project.source(source)
    for name in ignore or ():
        if name not in {rule.name for rule in declared.rules}:
            known = [rule.name for rule in declared.rules]
            raise ConfigurationError.unknown(f"rule of {source}", name, known)
    rows = chosen_rows(settings, declared, row or (), reason or ())
    with progress(f"release rows of {source}", quiet=as_json):
        done = released(settings, project, Rows(declared, rows), _now_ms(), ignore or ())
    is_any = done.sent + done.taken_in + done.duplicates > 0
    if as_json:
        print_json(done)
    elif not rows:
        _tell_of_none(declared, reason)
    elif is_any:
        _tell_of_release(declared, done)
    if done.taken_in:
        note_beside_streams(settings, project, {source})
    if done.left and not is_any:
        told = ", ".join(f"{code} {count}" for code, count in done.left.items())
        raise GateError(
            f"none of {counted(len(rows), 'row')} of {source} is an event yet ({told})",
            hint="choose one of each key: --row"
            if set(done.left) == {SAME_KEY}
            else "repair them first: headrace quarantine repair; or --ignore a rule",
        )


@app.command()
def day(source: Source, date: Day, as_json: JsonOption = False) -> None:
    """Take a day out of the table of a source into quarantine, as when its gate has stopped it.

    Then mended files of the day can come in by headrace ingest --again, or the rows be repaired
    and released.
    """
    from headrace_batch.days import days_with_events
    from headrace_batch.quarantine.setting_aside import set_aside
    from headrace_batch.warehouse import Warehouse
    from headrace_schemas.days import parse_begun_day

    settings, project = current_project()
    declared = project.source(source)
    asked = parse_begun_day(date, "--date", datetime.now(UTC))
    with progress(f"set {source} of {asked} aside", quiet=as_json):
        count = set_aside(Warehouse.of(settings), declared, asked)
    if not count:
        first, last = days_with_events(settings, declared)
        raise ConfigurationError(
            f"{declared.table} has no rows of {asked}; its days are from {first} to {last}",
            hint=f"taken out before: headrace quarantine list {source} --reason set_aside",
        )
    if as_json:
        print_json({"source": source, "date": asked, "rows": count})
    else:
        console().print(
            f"{counted(count, 'row')} of {asked} moved into quarantine, out of {declared.table}; to"
            f" bring the day back: headrace ingest --again --source {source} --file FILE with"
            f" mended files alone, or headrace quarantine repair {source} and headrace quarantine"
            f" release {source}, each with --reason set_aside; it is judged again by headrace run"
            f" daily --date {asked}",
            soft_wrap=True,
        )


def _show(source: EventSource, rows: Sequence[KeptRow], limit: int) -> None:
    from headrace_batch.quarantine.row_names import short_names
    from headrace_features.row_rules import meaning_of

    out = console()
    names, files = short_names(one.id for one in rows), _file_names(rows)
    print_table(
        None,
        ("row", "of", "reasons", "state", "as it came"),
        [
            (
                names[one.id],
                f"{files[one.file]}, {one.row_number}",
                ", ".join(
                    f"{reason} ({column})" if column else reason
                    for reason, column in zip(one.reasons, one.columns, strict=True)
                ),
                one.state,
                f"{one.raw[:_SHOWN]}{'…' if len(one.raw) > _SHOWN else ''}",
            )
            for one in rows[:limit]
        ],
    )
    if len(rows) > limit:
        out.print(f"{len(rows) - limit:,} more: --limit {len(rows)}, or --json")
    counts = Counter(reason for one in rows for reason in one.reasons)
    for reason, count in counts.most_common():
        out.print(f"{count:,} {reason}: {meaning_of(source, reason)}")


def _file_names(rows: Iterable[KeptRow]) -> dict[str, str]:
    """Where rows came from, without the folders that all of their files are in."""
    paths = {one.file: one.file.split("/") for one in rows if not one.is_of_topic}
    folders = zip(*(path[:-1] for path in paths.values()), strict=False)
    same = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, folders))
    topics = {one.file: one.file for one in rows if one.is_of_topic}
    return topics | {file: "/".join(path[same:]) for file, path in paths.items()}


def _tell_of_none(source: EventSource, reasons: Collection[str] | None) -> None:
    from headrace_orchestration.choosing_rows import having

    console().print(f"no row of {source.name}{having(reasons or ())} waits in quarantine")


def _tell_of_repair(rows: Iterable[KeptRow], done: Repaired) -> None:
    out = console()
    out.print(
        f"{counted(done.repaired, 'row')} repaired; to take in:"
        f" headrace quarantine release {done.source}"
    )
    for line in _left_lines(rows, done):
        out.print(f"rows that stay as they were: {line}", soft_wrap=True)


def _left_lines(rows: Iterable[KeptRow], done: Repaired) -> list[str]:
    """By reason how many rows would be no events, and what is the matter with one of them."""
    from headrace_batch.quarantine.row_names import short_names

    names = short_names(one.id for one in rows)
    return [
        f"{left.rows:,} {code}, such as {names[left.example]}: {left.told}"
        for code, left in done.left.items()
    ]


def _tell_of_release(source: EventSource, done: Released) -> None:
    out = console()
    if done.taken_in:
        rows = counted(done.taken_in, "row")
        out.print(f"{rows} taken in; what they change online is there after headrace materialize")
    if done.sent:
        out.print(
            f"{counted(done.sent, 'row')} sent to topic {source.topic} again, to be taken in by"
            " headrace ingest --from-kafka"
        )
    if done.duplicates:
        out.print(f"{counted(done.duplicates, 'row')} had arrived otherwise")
    for code, count in done.left.items():
        out.print(f"{counted(count, 'row')} left in quarantine: {code}")


def _events_in(
    file: Path, settings: Settings, source: EventSource
) -> dict[str, dict[str, Any] | None]:
    """By row that waits, the event that a file has for it; None of one that nobody could read.

    Raises:
        ConfigurationError: it is not what `list --json` prints, or has a row that doesn't wait.
    """
    from headrace_orchestration.choosing_rows import rows_by_name

    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        events = {
            row["row"]: None if row["event"] is None else dict(row["event"])
            for row in found["rows"]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{file} is not what headrace quarantine list --json prints: {error}"
        ) from error
    rows = rows_by_name(settings, source, events)
    return {rows[name].id: event for name, event in events.items()}


def _require_in(file: Path, events: Collection[str], rows: Iterable[KeptRow]) -> None:
    for one in rows:
        if one.id not in events:
            raise ConfigurationError(
                f"{file} has no row {one.id}", hint="it has all rows to be repaired by it"
            )


def _described(row: KeptRow) -> dict[str, Any]:
    return {
        "row": row.id,
        "file": row.file,
        "row_number": row.row_number,
        "reasons": list(row.reasons),
        "columns": list(row.columns),
        "state": str(row.state),
        "event": row.event,
        "raw": row.raw,
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
