"""`headrace baseline`: distributions that gates compare days with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.output import JsonOption, console, print_json, print_table, progress
from headrace_orchestration.session import current_project, current_settings
from headrace_schemas.days import parse_day

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace_batch.quality.baselines import Baseline

app = typer.Typer(
    no_args_is_help=True, help="Make and list the distributions that gates compare days with."
)

Name = Annotated[str, typer.Argument(help="What rules call it.")]
Of = Annotated[
    str, typer.Option("--of", help="The source, view or training set whose gate has these rules.")
]
Start = Annotated[str, typer.Option(help="First day, UTC.")]
End = Annotated[str, typer.Option(help="Last day, UTC.")]


@app.command("set")
def set_(name: Name, of: Of, start: Start, end: End, as_json: JsonOption = False) -> None:
    """Make a baseline of some days, for the rules that name it, in place of one of that name."""
    from headrace_batch.quality.baselines import set_baseline
    from headrace_batch.warehouse import Warehouse

    settings, project = current_project()
    gate = project.gate(of)
    days = parse_day(start, "--start"), parse_day(end, "--end")
    with progress(f"baseline {name}", quiet=as_json):
        made = set_baseline(Warehouse.of(settings), gate, name, *days)
    _show(made, as_json=as_json)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the baselines that there are."""
    from headrace_batch.quality.baselines import baselines
    from headrace_batch.warehouse import Warehouse

    _show(baselines(Warehouse.of(current_settings())), as_json=as_json)


def _show(found: Sequence[Baseline], *, as_json: bool) -> None:
    if as_json:
        print_json({"baselines": found})
        return
    if not found:
        console().print("there are no baselines: headrace baseline set makes one")
        return
    print_table(
        None,
        ("baseline", "of", "column", "first day", "last day", "rows", "bins"),
        [
            (one.name, one.of, one.column, one.first, one.last, one.rows, one.bins.count)
            for one in found
        ],
    )
