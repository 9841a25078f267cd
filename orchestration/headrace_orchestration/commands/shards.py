"""`headrace shards`: training sets that were staged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.output import (
    JsonOption,
    console,
    print_json,
    print_table,
    progress,
    say,
)
from headrace_orchestration.session import current_project
from headrace_schemas.counted import counted

if TYPE_CHECKING:
    from headrace_batch.staging.target import Target
    from headrace_schemas.settings import Settings
    from headrace_shards.manifest import Manifest

app = typer.Typer(no_args_is_help=True, help="Look at training sets that were staged.")

Place = Annotated[
    str, typer.Argument(metavar="URL", help="What headrace stage was given as --out.")
]
Digest = Annotated[
    str | None,
    typer.Option(help="Of a former set that is kept there, or how it begins."),
]
Sample = Annotated[int, typer.Option(min=0, help="How many rows are computed anew and compared.")]


@app.command()
def verify(
    place: Place, sample: Sample = 1_000, digest: Digest = None, as_json: JsonOption = False
) -> None:
    """Check the hashes, counts and headers of a set, and a sample against the feature history.

    Ends with the status 1 if anything isn't as the manifest says.
    """
    from headrace_batch.staging.verifying import verify as verified

    settings, project = current_project()
    target, manifest = _published(settings, place, digest)
    with progress(f"verify {place}", quiet=as_json):
        report = verified(settings, project, target, manifest, sample)
    if as_json:
        print_json(report)
    else:
        for problem in report.problems:
            say(f"headrace: {problem}")
        if not report.problems:
            console().print(
                f"set {manifest.set_id}: {counted(report.shards, 'shard')} with"
                f" {counted(report.rows, 'row')} as the manifest says;"
                f" {report.compared:,} were computed anew and have the same bits"
            )
    if report.problems:
        raise typer.Exit(1)


@app.command()
def show(place: Place, digest: Digest = None, as_json: JsonOption = False) -> None:
    """Show what a set holds and what it was made of."""
    from headrace_batch.staging.splits import in_order

    settings, _ = current_project()
    _, manifest = _published(settings, place, digest)
    made, splits = manifest.made_of, in_order(manifest.splits)
    if as_json:
        print_json(
            {
                "set_id": manifest.set_id,
                "digest": manifest.digest,
                "kept": manifest.kept,
                "splits": {name: manifest.rows(name) for name in splits},
                "columns": {part.name: part.columns for part in manifest.layout.parts},
                "statistics": manifest.statistics,
                "made_of": made,
            }
        )
        return
    print_table(
        f"set {manifest.set_id}, digest {manifest.digest[:12]}",
        ("split", "rows", "shards"),
        [(name, manifest.rows(name), len(found)) for name, found in splits.items()],
    )
    print_table(
        None,
        ("column", "split", "values", *_COUNTED, *_MOMENTS),
        [
            (
                *(name, split, one["count"]),
                # Sets of older releases have some of these.
                *(one.get(key, 0) for key in _COUNTED.values()),
                *(_short(one[key]) for key in _MOMENTS),
            )
            for split, columns in in_order(manifest.statistics).items()
            for name, one in columns.items()
        ],
    )
    # Sets of older releases don't say of what their spine was made.
    others = [one for one in made.get("spine_tables", ()) if one not in made["tables"]]
    for table in (*made["tables"], *others):
        told = ", ".join(
            f"{table['topic']}/{partition} before {one['before']}"
            for partition, one in table.get("offsets", {}).items()
        )
        console().print(
            f"{table['source']}: {table['table']} as of version {table['version']}"
            f"{f', of {told}' if told else ''}",
            soft_wrap=True,
        )
    left_out = sum(made.get("rows_left_out", {}).values())
    console().print(
        f"spine: {made['spine']['place']}, {counted(made['spine']['rows'], 'row')}"
        f"{f'; {left_out:,} left out' if left_out else ''}"
    )
    if manifest.kept and digest is None:
        former = ", ".join(one[:12] for one in manifest.kept)
        console().print(f"former sets that are kept: {former}", soft_wrap=True)


_COUNTED = {"nulls": "nulls", "NaN or infinite": "not_finite"}
_MOMENTS = ("mean", "std", "min", "max")


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.5g}"


def _published(settings: Settings, place: str, digest: str | None) -> tuple[Target, Manifest]:
    from headrace_batch.staging.publication import set_at
    from headrace_batch.staging.target import Target

    target = Target(place, settings.warehouse.storage_options)
    return target, set_at(target, digest)
