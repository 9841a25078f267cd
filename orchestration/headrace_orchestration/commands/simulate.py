"""`headrace simulate`: generated transactions with known fraud, any number of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace_orchestration.output import JsonOption, console, print_json, progress

Out = Annotated[Path, typer.Option(help="Folder for transactions.parquet and labels.parquet.")]
Rows = Annotated[int | None, typer.Option(help="How many transactions, instead of cards and days.")]
Cards = Annotated[int | None, typer.Option(help="How many cards. Default: 5,000.")]
Days = Annotated[int | None, typer.Option(help="How many days. Default: 183.")]
StartDay = Annotated[str | None, typer.Option("--start", help="First day. Default: 2018-04-01.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same transactions.")]


def simulate(  # noqa: PLR0913, PLR0917 - one for each option
    out: Out = Path("simulated"),
    rows: Rows = None,
    cards: Cards = None,
    days: Days = None,
    start: StartDay = None,
    seed: Seed = 0,
    as_json: JsonOption = False,
) -> None:
    """Generate card transactions and their labels by the handbook's three fraud scenarios."""
    from headrace_orchestration.simulation import simulation_config, write_simulation

    config = simulation_config(rows=rows, cards=cards, days=days, start=start, seed=seed)
    with progress("simulate", quiet=as_json) as advance:
        report = write_simulation(out, config, advance)
    if as_json:
        print_json(report)
        return
    share = report.frauds / report.rows if report.rows else 0.0
    console().print(
        f"{report.rows:,} transactions, {report.frauds:,} of them fraud ({share:.2%})\n"
        f"  {report.transactions}\n  {report.labels}"
    )
    if not report.frauds:
        console().print("no fraud among so few by chance: simulate more, or give another --seed")
