"""`headrace demo`: the whole path in one command, with something to look at in the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.output import (
    JsonOption,
    console,
    print_json,
    print_table,
    spelled,
    stage,
)

if TYPE_CHECKING:
    from headrace_orchestration.demonstration import Demonstration

Transactions = Annotated[
    Path | None, typer.Option(help="A file of transactions instead of generated ones.")
]
Format = Annotated[
    str | None, typer.Option("--format", help="Its format: parquet, csv, jsonl or handbook.")
]
Cards = Annotated[int, typer.Option(help="Cards to generate.", min=50)]
Days = Annotated[int, typer.Option(help="Days to generate.", min=45)]
Seed = Annotated[int, typer.Option(help="The same seed gives the same transactions.", min=0)]


def demo(  # noqa: PLR0913, PLR0917 - one for each option
    transactions: Transactions = None,
    format: Format = None,  # noqa: A002 - the option's name
    cards: Cards = 5_000,
    days: Days = 92,
    seed: Seed = 0,
    as_json: JsonOption = False,
) -> None:
    """Transactions to features in Feast: generate, ingest, backfill, apply, materialize, ask."""
    from headrace_orchestration.demonstration import demonstrate

    result = demonstrate(
        transactions,
        format,
        cards=cards,
        days=days,
        seed=seed,
        stage=lambda label: stage(label, quiet=as_json),
    )
    if as_json:
        print_json(result)
    else:
        _show(result)


def _show(result: Demonstration) -> None:
    out = console()
    print_table(
        "\nWhat was done",
        ("step", "rows", "seconds", "rows/s", "written to"),
        [
            (s.name, s.rows, round(s.seconds, 1), s.rows_per_second, s.written_to)
            for s in result.steps
        ],
    )
    out.print(f"Everything lies in {result.home}", soft_wrap=True)
    story = result.story
    if story is not None:
        out.print(
            f"\nA fraud: {story.card} at {story.terminal}, transaction {story.transaction}",
            style="bold",
        )
        for view, features in story.features.items():
            print_table(
                None,
                (view, *story.moments),
                [(name, *map(spelled, values)) for name, values in features.items()],
            )
    out.print("\nTry next:", style="bold")
    for line in result.next_commands:
        out.print(f"  {line}", soft_wrap=True)
