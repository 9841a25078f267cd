"""`headrace stage`: a training set, from a spine to shards for a loader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.commands.backfill import EngineName
from headrace_orchestration.output import JsonOption, console, print_json, print_table, say, status
from headrace_orchestration.session import current_project
from headrace_schemas.counted import counted
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace_batch.staging.run import StageReport
    from headrace_batch.staging.shard_formats import Format
    from headrace_features.project import Project

Spine = Annotated[
    str,
    typer.Option(
        metavar="TABLE",
        help="Rows with the join keys and event_time: a Parquet file or URL, or a table of the"
        " warehouse such as bronze.transactions.",
    ),
]
Out = Annotated[str, typer.Option(metavar="URL", help="A folder of its own, or a URL.")]
Service = Annotated[str, typer.Option(help="The feature service.")]
Name = Annotated[str | None, typer.Option(help="What the set is called. Default: as the service.")]
Label = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="COLUMN", help="What is to be foretold; again for more."),
]
LabelTime = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Since when the label is known: no row's features may be of a later time.",
    ),
]
UnlabelledOption = Annotated[
    str,
    typer.Option(
        "--unlabelled",
        help="refuse, leave-out or keep: what becomes of rows that have no label, or no time of"
        " it. Kept, a label is 0 and told by the mask.",
    ),
]
ValidFrom = Annotated[
    str | None, typer.Option(metavar="DATE", help="Rows from this day on, UTC, are for validation.")
]
TestFrom = Annotated[
    str | None, typer.Option(metavar="DATE", help="Rows from this day on, UTC, are for tests.")
]
HoldOut = Annotated[
    float, typer.Option(metavar="SHARE", help="The share of entities with a split of their own.")
]
Entity = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Whose entities are held out. Default: the only join key."),
]
Seed = Annotated[int, typer.Option(help="Of the order of rows, and of what is held out.")]
LeaveOut = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="A column of the spine not to keep; again for more."),
]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="float32 or float64: of what a model takes in.")
]
Zstd = Annotated[bool, typer.Option("--zstd", help="Compress the shards.")]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        help="mds: what the loader maps; webdataset: tars of samples; parquet: for other readers.",
    ),
]
Payload = Annotated[
    list[str] | None,
    typer.Option(
        "--payload",
        metavar="COLUMN[:EXT]",
        help="Bytes or texts of the spine that are a file of each sample in tars, named by the"
        " extension, or by the column; again for more.",
    ),
]


def stage(  # noqa: PLR0913, PLR0917 - one for each option
    service: Service,
    spine: Spine,
    out: Out,
    name: Name = None,
    label: Label = None,
    label_time: LabelTime = None,
    unlabelled: UnlabelledOption = "refuse",
    valid_from: ValidFrom = None,
    test_from: TestFrom = None,
    hold_out: HoldOut = 0.0,
    entity: Entity = None,
    seed: Seed = 0,
    leave_out: LeaveOut = None,
    precision: PrecisionOption = "float32",
    zstd: Zstd = False,
    shard_format: FormatOption = "mds",
    payload: Payload = None,
    engine: EngineName = None,
    as_json: JsonOption = False,
) -> None:
    """Stage a training set: features as of each row, split, in shards for a loader.

    Readers of a set that is there already have it until the new one is whole. Run again, it does
    nothing if spine, tables and options are the same.
    """
    from headrace_batch.staging.columns import Precision
    from headrace_batch.staging.request import StageRequest
    from headrace_batch.staging.run import stage as staged
    from headrace_batch.staging.spine import Label, Unlabelled
    from headrace_batch.staging.splits import SplitRule

    settings, project = current_project()
    if precision not in set(Precision):
        raise ConfigurationError.unknown("precision", precision, Precision)
    if unlabelled not in set(Unlabelled):
        raise ConfigurationError.unknown("choice for --unlabelled", unlabelled, Unlabelled)
    if entity is not None and not hold_out:
        raise ConfigurationError(
            f"--entity {entity} says whose are held out, and none are",
            hint="give their share as well: --hold-out SHARE",
        )
    request = StageRequest(
        name=name or service,
        selections=project.select((), service),
        spine=spine,
        out=out,
        label=Label(tuple(label or ()), label_time, Unlabelled(unlabelled)),
        split=SplitRule(
            _time_ms(valid_from, "--valid-from"),
            _time_ms(test_from, "--test-from"),
            hold_out,
            _entity(project, service, entity) if hold_out else None,
            seed,
        ),
        left_out=tuple(leave_out or ()),
        precision=Precision(precision),
        zstd=zstd,
        format=_format(shard_format, payload or ()),
    )
    with status(f"stage {request.name}") as tell:
        report = staged(settings, project, request, engine or settings.engine.default, tell)
    warn_of(report)
    if as_json:
        print_json(report)
        return
    show_staged(report)
    if not request.label.columns:
        console().print("it has no label: --label names the columns of the spine to be foretold")


def warn_of(report: StageReport) -> None:
    """Say of a set that nothing can be trained with it, nor told of the rows to train with."""
    from headrace_batch.staging.splits import TRAIN

    if TRAIN not in report.rows:
        others = ", ".join(f"{rows:,} in {split}" for split, rows in report.rows.items())
        say(
            f"headrace: no row is in {TRAIN}: there are {others}; expected some that are before the"
            " rows for validation and tests, and not held out"
        )


def show_staged(report: StageReport) -> None:
    """Show a set that is published."""
    told = console()
    print_table(
        None, ("split", "rows"), [(name, f"{rows:,}") for name, rows in report.rows.items()]
    )
    print_table(
        None,
        ("part", "columns"),
        [(name, ", ".join(columns)) for name, columns in report.columns.items()],
    )
    for reason, rows in report.rows_left_out.items():
        if rows:
            told.print(f"{counted(rows, 'row')} left out: {_REASONS[reason]}", soft_wrap=True)
    done = "is there already" if report.was_there else f"in {report.seconds:.1f} s"
    told.print(
        f"set {report.set_id}: {counted(report.shards, 'shard')}, {report.size / 1e6:,.1f} MB,"
        f" {done} → {report.out}",
        soft_wrap=True,
    )


_REASONS = {
    "unlabelled": "no label",
    "known_before": "the label is said to have been known before the event",
}


def _time_ms(text: str | None, option: str) -> int | None:
    from headrace_batch.days import begins_ms
    from headrace_schemas.days import parse_day

    return None if text is None else begins_ms(parse_day(text, option))


def _format(kind: str, payloads: Sequence[str]) -> Format:
    from headrace_batch.staging.shard_formats import Format
    from headrace_schemas.shard_kinds import Kind

    if kind not in set(Kind):
        raise ConfigurationError.unknown("format", kind, Kind)
    named = (one.partition(":") for one in payloads)
    return Format(Kind(kind), {column: extension or column for column, _, extension in named})


def _entity(project: Project, service: str, named: str | None) -> str:
    from headrace_features.definitions.on_demand import read_for

    read = read_for(project.select((), service))
    keys = sorted({one.view.entity.join_key for one in read})
    if named is None and len(keys) == 1:
        return keys[0]
    if named is None:
        raise ConfigurationError(
            f"the service {service} has several join keys: {', '.join(keys)}",
            hint="name the one whose entities are held out: --entity COLUMN",
        )
    return named
