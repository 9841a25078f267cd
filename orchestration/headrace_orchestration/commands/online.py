"""`headrace online`: what the online store holds, and making it anew."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.commands.backfill import Views
from headrace_orchestration.commands.materialize import Day, record, registered_views
from headrace_orchestration.output import (
    JsonOption,
    console,
    print_fields,
    print_json,
    print_table,
    progress,
    say,
)
from headrace_orchestration.session import current_project, served_project
from headrace_schemas.days import parse_begun_day
from headrace_schemas.errors import HeadraceError

if TYPE_CHECKING:
    from headrace_features.online.layers import Layers

app = typer.Typer(no_args_is_help=True, help="Look at the online store, and make it anew.")

ProbedDay = Annotated[str, typer.Option("--date", help="A day, UTC, that was materialized.")]
SampleSize = Annotated[
    int, typer.Option("--sample", min=1, help="Entities of each view at most, with events then.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """The layers of one view in the store; times are UTC.

    Attributes:
        view: its name.
        version: its version.
        batch_boundary: the batch layer has the events before it; None if there is no such layer.
        batch_whole: it has all events before; a boundary may be ahead of that.
        batch_written: the layer has what there was then.
        stream_epoch: the deployment whose coverage is known; None if none is.
        stream_since: the stream layer has all events from then on; `always`, or None if unknown.
        stream_event_time: the greatest event time in it.
        stream_written: when it was last changed.
        stream_current: it has all events that were sent by then; None if that isn't known.
        incomplete: why windows that end now may lack events, and what to do; None if they don't.
    """

    view: str
    version: int
    batch_boundary: str | None
    batch_whole: str | None
    batch_written: str | None
    stream_epoch: int | None
    stream_since: str | None
    stream_event_time: str | None
    stream_written: str | None
    stream_current: str | None
    incomplete: str | None


@app.command("status")
def show(as_json: JsonOption = False) -> None:
    """Tell what the store has of each view: up to when by batch, since when by the stream."""
    from headrace_features.online.served import view_key
    from headrace_features.online.store import layers_of
    from headrace_features.online.stores import open_store

    settings, project = served_project()
    keys = {view.name: view_key(view) for view in project.views.values()}
    layers = layers_of(open_store(settings), keys.values())
    found = [_status(name, project.view(name).version, layers[key]) for name, key in keys.items()]
    if as_json:
        print_json(found)
        return
    for number, one in enumerate(found):
        if number:
            console().print()
        print_fields(one)


@app.command()
def rebuild(date: Day = None, yes: Yes = False, as_json: JsonOption = False) -> None:
    """Empty the online store and fill it from the lake and the topic of updates.

    While that goes on, readers find less than there was. Repeat it if it was interrupted.
    """
    from headrace_orchestration.rebuilding import rebuild as make_anew

    settings, project = served_project()
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("it empties the store, which has to be confirmed: give --yes")
    if not yes:
        typer.confirm(f"empty the online store of {project.name} and fill it again?", abort=True)
    registered = registered_views(settings, project)
    day = None if date is None else parse_begun_day(date, "--date", datetime.now(UTC))
    report = make_anew(settings, project, day, say, partial(progress, quiet=as_json))
    for one in report.views:
        if one.view in registered:
            record(settings, project.view(one.view), one)
    if as_json:
        print_json(report)
        return
    console().print(
        f"{report.entities:,} entities with {report.fields:,} fields from the lake and"
        f" {report.updates:,} updates from the topic, in {report.seconds:.1f} s"
    )


@app.command()
def probe(
    date: ProbedDay, view: Views = None, sample: SampleSize = 1000, as_json: JsonOption = False
) -> None:
    """Hold what readers get to the lake: entities with events on a day, as of the batch boundary.

    Ends with an error if any value differs.
    """
    from headrace_features.view_modes import require_batch
    from headrace_orchestration.probing import probe as compare

    settings, project = served_project()
    day = parse_begun_day(date, "--date", datetime.now(UTC))
    names = require_batch(settings, project, list(view or ()))
    found = [compare(settings, project.view(name), day, sample) for name in names]
    if as_json:
        print_json(found)
    else:
        print_table(
            None,
            ("view", "version", "as of", "entities", "values", "unlike"),
            [
                (
                    one.view,
                    one.version,
                    _text(one.as_of_ms),
                    one.entities,
                    one.values,
                    len(one.unlike),
                )
                for one in found
            ],
        )
        for one in found:
            for value in one.unlike:
                console().print(
                    f"{one.view}:{value.feature} of {value.entity}: online {value.online}, by the"
                    f" lake {value.lake}",
                    soft_wrap=True,
                )
    unlike = {one.view: len(one.unlike) for one in found if one.unlike}
    if unlike:
        raise HeadraceError(
            f"online {sum(unlike.values()):,} values of {', '.join(unlike)} are not what the lake"
            f" says for {day}",
            hint="made anew by: headrace online rebuild",
        )


def _status(name: str, version: int, layers: Layers) -> ViewStatus:
    from headrace_features.online.layers import ALWAYS_MS, NEVER_MS

    batch, stream = layers
    since = None
    if stream is not None and stream.since_ms < NEVER_MS:
        since = "always" if stream.since_ms <= ALWAYS_MS else _text(stream.since_ms)
    return ViewStatus(
        view=name,
        version=version,
        batch_boundary=None if batch is None else _text(batch.boundary_ms),
        batch_whole=None if batch is None else _text(batch.whole_ms),
        batch_written=None if batch is None else _text(batch.written_ms),
        stream_epoch=None if stream is None or since is None else stream.epoch,
        stream_since=since,
        stream_event_time=(
            None
            if stream is None or stream.event_time_ms <= ALWAYS_MS
            else _text(stream.event_time_ms)
        ),
        stream_written=None
        if stream is None or not stream.written_ms
        else _text(stream.written_ms),
        stream_current=None
        if stream is None or not stream.current_ms
        else _text(stream.current_ms),
        incomplete=_lacking(layers, time.time_ns() // 1_000_000),
    )


def _lacking(layers: Layers, now_ms: int) -> str | None:
    """Why windows that end now may lack events; None if none does."""
    from headrace_features.definitions.services import Terms
    from headrace_features.online.layers import NEVER_MS

    batch, stream = layers
    whole = "" if batch is None else _text(batch.whole_ms)
    if stream is None or stream.since_ms == NEVER_MS:
        if not whole:
            return "nothing is there yet; run: headrace materialize"
        return f"no stream writes what happens after {whole}; see: headrace stream deploy"
    if stream.since_ms > layers.boundary_ms:
        since = f"of what happened before {_text(stream.since_ms)} the stream has not all"
        held = f"the batch layer ends at {whole}" if whole else "there is no batch layer"
        return (
            f"{since}, and {held}; until a later day is materialized, or: headrace stream stop,"
            " headrace stream deploy --from lake"
        )
    if not stream.current_ms:
        return "the stream may not have caught up yet; see: headrace stream status"
    if now_ms > stream.current_ms + Terms().max_lag_ms:
        behind = f"the stream has what was sent by {_text(stream.current_ms)}"
        return f"{behind}; see: headrace stream status, headrace writer status"
    return None


def _text(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%d %H:%M:%S}"


@app.command("healed")
def healed(view: Views = None, as_json: JsonOption = False) -> None:
    """Which values were off for what came late or the stream missed, until a layer had it.

    Of each entity with such events the value at the end of each day is compared, as readers got it
    before the layer moved on and as they get it since. What the stream missed is told by its job in
    the topic late-events.
    """
    from headrace_batch.healing import healed_rows
    from headrace_batch.warehouse import Warehouse

    settings, project = current_project()
    names = view or list(project.views)
    warehouse = Warehouse.of(settings)
    found = {name: healed_rows(warehouse, project.view(name)) for name in names}
    if as_json:
        print_json([{"view": name, **row} for name, rows in found.items() for row in rows])
        return
    rows = [(name, row) for name, some in found.items() for row in some]
    if not rows:
        console().print("no value has been off since layers move on day by day")
        return
    print_table(
        "values at the end of a day that were off for what came late or was missed",
        ("view", "day", "feature", "entities", "most", "on average", "hours", "until"),
        [
            (
                name,
                str(row["day"]),
                row["feature"],
                row["values_off"],
                row["greatest_difference"],
                row["mean_difference"],
                round(row["longest_ms"] / 3_600_000, 1),
                f"{datetime.fromtimestamp(row['healed_ms'] / 1000, UTC):%Y-%m-%d %H:%M}",
            )
            for name, row in rows
        ],
    )
