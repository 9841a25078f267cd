"""`headrace quarantine`: rows that were not taken in."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_orchestration.output import JsonOption, console, print_json, print_table, progress
from headrace_orchestration.session import current_project
from headrace_schemas.errors import ConfigurationError, GateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace_batch.quarantine.kept_rows import KeptRow
    from headrace_features.definitions.sources import EventSource
    from headrace_schemas.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="Look at rows that were not taken in; repair and release them."
)

Source = Annotated[str, typer.Argument(help="The event source.")]
Row = Annotated[
    list[str] | None,
    typer.Option("--row", help="A row, as list calls it; again for more. Default: all."),
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
    settings, project = current_project()
    declared = project.source(source)
    rows = _chosen(settings, declared, row, reason, everything=everything)
    if as_json:
        print_json({"source": source, "rows": [_described(one) for one in rows]})
        return
    _show(declared, rows, limit)


@app.command()
def repair(
    source: Source,
    row: Row = None,
    reason: Reason = None,
    assign: Set = None,
    file: File = None,
) -> None:
    """Change rows, so that they can be released: by expressions, or in a file.

    All of them have to become events that break no rule, or none is changed.
    """
    from headrace_batch.quarantine.repairing import changed, changes_of
    from headrace_orchestration.releasing import Rows
    from headrace_orchestration.releasing import repair as keep

    settings, project = current_project()
    declared = project.source(source)
    if bool(assign) == (file is not None):
        raise ConfigurationError(
            "headrace quarantine repair needs either --set or --file",
            hint="see headrace quarantine repair --help",
        )
    if file is not None:
        events = _events_in(file)
        rows = _chosen(settings, declared, [*(row or ()), *events], reason)
        repaired = [replace(one, event=events[one.id]) for one in rows if one.id in events]
    else:
        changes = changes_of(declared, assign or ())
        rows = _chosen(settings, declared, row, reason)
        repaired = [replace(one, event=changed(declared, one, changes)) for one in rows]
    keep(settings, project, Rows(declared, repaired), _now_ms())
    console().print(
        f"{len(repaired):,} rows repaired; to take them in: headrace quarantine release {source}"
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
    from headrace_orchestration.releasing import Rows
    from headrace_orchestration.releasing import release as released

    settings, project = current_project()
    declared = project.source(source)
    for name in ignore or ():
        if name not in {rule.name for rule in declared.rules}:
            known = [rule.name for rule in declared.rules]
            raise ConfigurationError.unknown(f"rule of {source}", name, known)
    rows = _chosen(settings, declared, row, reason)
    with progress(f"release rows of {source}", quiet=as_json):
        done = released(settings, project, Rows(declared, rows), _now_ms(), ignore or ())
    if as_json:
        print_json(done)
    else:
        _tell(declared, rows, done)
    if done.taken_in:
        note_beside_streams(settings, project, {source})
    if done.left and not done.sent + done.taken_in + done.duplicates:
        told = ", ".join(f"{code} {count}" for code, count in done.left.items())
        raise GateError(
            f"none of {len(rows):,} rows of {source} is an event yet ({told})",
            hint="repair them first: headrace quarantine repair; or --ignore a rule",
        )


@app.command()
def day(source: Source, date: Day, as_json: JsonOption = False) -> None:
    """Take a day out of the table of a source into quarantine, as when its gate has stopped it.

    Then mended files of the day can be ingested, or the rows be repaired and released.
    """
    from headrace_batch.quarantine.setting_aside import set_aside
    from headrace_batch.warehouse import Warehouse
    from headrace_schemas.days import parse_day

    settings, project = current_project()
    declared = project.source(source)
    asked = parse_day(date, "--date")
    with progress(f"set {source} of {asked} aside", quiet=as_json):
        count = set_aside(Warehouse.of(settings), declared, asked)
    if as_json:
        print_json({"source": source, "date": asked, "rows": count})
    else:
        console().print(f"{count:,} rows of {asked} are in quarantine, and not in {declared.table}")


def _chosen(
    settings: Settings,
    source: EventSource,
    ids: Sequence[str] | None,
    reasons: Sequence[str] | None,
    *,
    everything: bool = False,
) -> list[KeptRow]:
    """The rows that options choose.

    Raises:
        ConfigurationError: a row or a reason that there is not.
    """
    from headrace_batch.quarantine.kept_rows import kept_rows
    from headrace_batch.warehouse import Warehouse

    rows = kept_rows(
        Warehouse.of(settings), source, ids=frozenset(ids or ()), reasons=frozenset(reasons or ())
    )
    found = [one for one in rows if everything or one.state.is_open]
    for asked in ids or ():
        if asked not in {one.id for one in found}:
            state = next((one.state for one in rows if one.id == asked), None)
            is_so = "" if state is None else f", which is {state}"
            raise ConfigurationError(
                f"no row {asked!r} of {source.name} waits{is_so}",
                hint=f"headrace quarantine list {source.name} --all lists them",
            )
    return found


def _show(source: EventSource, rows: Sequence[KeptRow], limit: int) -> None:
    from headrace_features.row_rules import meaning_of

    out = console()
    if not rows:
        out.print(f"no row of {source.name} waits in quarantine")
        return
    print_table(
        None,
        ("row", "of", "reasons", "state", "as it came"),
        [
            (
                one.id,
                f"{one.file}, {one.row_number}",
                ", ".join(
                    f"{reason} ({column})" if column else reason
                    for reason, column in zip(one.reasons, one.columns, strict=True)
                ),
                one.state,
                one.raw[:_SHOWN],
            )
            for one in rows[:limit]
        ],
    )
    if len(rows) > limit:
        out.print(f"{len(rows) - limit:,} more: --limit {len(rows)}, or --json")
    counts = Counter(reason for one in rows for reason in one.reasons)
    for reason, count in counts.most_common():
        out.print(f"{count:,} {reason}: {meaning_of(source, reason)}")


def _tell(source: EventSource, rows: Sequence[KeptRow], done: Any) -> None:
    out = console()
    if not rows:
        out.print(f"no row of {source.name} waits in quarantine")
    if done.taken_in:
        out.print(f"{done.taken_in:,} rows taken in; online they are in after headrace materialize")
    if done.sent:
        out.print(
            f"{done.sent:,} rows sent to topic {source.topic} again; headrace ingest --from-kafka"
            " takes them in"
        )
    if done.duplicates:
        out.print(f"{done.duplicates:,} rows had arrived otherwise")
    for code, count in done.left.items():
        out.print(f"{count:,} rows stay: {code}")


def _events_in(file: Path) -> dict[str, dict[str, Any]]:
    """By row, the event that a file has for it.

    Raises:
        ConfigurationError: it is not what `list --json` prints.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {row["row"]: dict(row["event"]) for row in found["rows"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{file} is not what headrace quarantine list --json prints: {error}"
        ) from error


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
