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
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_orchestration.demonstration.run import Demonstration
    from headrace_orchestration.demonstration.steps import Given

Transactions = Annotated[
    Path | None, typer.Option(help="A file of transactions instead of generated ones.")
]
Labels = Annotated[
    Path | None, typer.Option(help="A file of their labels; --format handbook brings them along.")
]
Format = Annotated[
    str | None,
    typer.Option("--format", help="Of the transactions: parquet, csv, jsonl or handbook."),
]
Cards = Annotated[int, typer.Option(help="Cards to generate.", min=50)]
Days = Annotated[int, typer.Option(help="Days to generate.", min=45)]
Seed = Annotated[int, typer.Option(help="The same seed gives the same transactions.", min=0)]


def demo(  # noqa: PLR0913, PLR0917 - one for each option
    transactions: Transactions = None,
    labels: Labels = None,
    format: Format = None,  # noqa: A002 - the option's name
    cards: Cards = 5_000,
    days: Days = 92,
    seed: Seed = 0,
    as_json: JsonOption = False,
) -> None:
    """Transactions to features in Feast: generate, ingest, backfill, apply, materialize, ask."""
    from headrace_orchestration.demonstration.run import demonstrate
    from headrace_orchestration.demonstration.steps import Size

    result = demonstrate(
        _files(transactions, labels, format),
        Size(cards, days, seed),
        stage=lambda label: stage(label, quiet=as_json),
    )
    if as_json:
        print_json(result)
    else:
        _show(result)


def _files(
    transactions: Path | None, labels: Path | None, file_format: str | None
) -> tuple[Given, ...]:
    from headrace_orchestration.demonstration.steps import Given

    if transactions is None:
        if labels is not None or file_format is not None:
            raise ConfigurationError(
                "--labels and --format belong to a file of transactions",
                hint="add --transactions FILE, or leave them out to generate some",
            )
        return ()
    if file_format == "handbook":
        if labels is not None:
            raise ConfigurationError("a file of the format handbook has its labels with it")
        return (Given(transactions, file_format),)
    given = Given(transactions, file_format, "transactions")
    return (given,) if labels is None else (given, Given(labels, source="transaction_labels"))


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
    if story is None:
        out.print("\nNo fraud is known here to tell of: labels are given by --labels FILE.")
    else:
        told = " at ".join(map(str, story.entities.values()))
        out.print(f"\nA fraud: {told}, transaction {story.transaction}", style="bold")
        for view, features in story.features.items():
            print_table(
                None,
                (view, *story.moments),
                [(name, *map(spelled, values)) for name, values in features.items()],
            )
    out.print("\nTry next:", style="bold")
    for line in result.next_commands:
        out.print(f"  {line}", soft_wrap=True)
