"""`headrace simulate`: generated transactions with known fraud, any number of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.output import JsonOption, console, print_json, progress
from headrace_orchestration.session import current_project
from headrace_schemas.counted import counted

if TYPE_CHECKING:
    from headrace_batch.simulator import SimulationConfig
    from headrace_streaming.kafka.disorder import Disorder

Out = Annotated[Path, typer.Option(help="Folder for transactions.parquet and labels.parquet.")]
Rows = Annotated[int | None, typer.Option(help="How many transactions, instead of cards and days.")]
Cards = Annotated[int | None, typer.Option(help="How many cards. Default: 5,000.")]
Days = Annotated[int | None, typer.Option(help="How many days. Default: 183.")]
StartDay = Annotated[str | None, typer.Option("--start", help="First day. Default: 2018-04-01.")]
Rate = Annotated[
    float | None,
    typer.Option(min=0.001, help="Send to Kafka instead, so many records a second."),
]
OutOfOrder = Annotated[float, typer.Option(help="Share sent up to 5 s late (with --rate).")]
Late = Annotated[float, typer.Option(help="Share sent up to 6 h late (with --rate).")]
Duplicates = Annotated[float, typer.Option(help="Share sent twice (with --rate).")]
Spoilt = Annotated[float, typer.Option(help="Share that can't be read (with --rate).")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same transactions.")]


def simulate(  # noqa: PLR0913, PLR0917 - one for each option
    out: Out = Path("simulated"),
    rows: Rows = None,
    cards: Cards = None,
    days: Days = None,
    start: StartDay = None,
    seed: Seed = 0,
    rate: Rate = None,
    out_of_order: OutOfOrder = 0.0,
    late: Late = 0.0,
    duplicates: Duplicates = 0.0,
    spoilt: Spoilt = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Generate card transactions and their labels by the handbook's three fraud scenarios.

    They are written to files, or with --rate sent to Kafka: a label when it would be known. The
    same options give the same transactions with the same ids: sent again, the stream takes those
    that it still holds for duplicates. Another seed, start or number of cards or days gives others.
    """
    from headrace_orchestration.simulation import simulation_config, write_simulation

    config = simulation_config(rows=rows, cards=cards, days=days, start=start, seed=seed)
    if rate is not None:
        from headrace_streaming.kafka.disorder import Disorder

        _send(config, rate, Disorder(out_of_order, late, duplicates, spoilt), as_json=as_json)
        return
    with progress("simulate", quiet=as_json) as advance:
        report = write_simulation(out, config, advance)
    if as_json:
        print_json(report)
        return
    share = report.frauds / report.rows if report.rows else 0.0
    console().print(
        f"{counted(report.rows, 'transaction')}, {report.frauds:,} of them fraud ({share:.2%})\n"
        f"  {report.transactions}\n  {report.labels}"
    )
    if not report.frauds:
        console().print("no fraud among so few by chance: simulate more, or give another --seed")


def _send(config: SimulationConfig, rate: float, disorder: Disorder, *, as_json: bool) -> None:
    import random

    from headrace_features.fraud.definitions import labels, transactions
    from headrace_orchestration.live_simulation import live_records
    from headrace_schemas.errors import ConfigurationError
    from headrace_streaming.kafka.clients import kafka_config
    from headrace_streaming.kafka.disorder import disturbed
    from headrace_streaming.kafka.sender import send
    from headrace_streaming.kafka.topics import create_topics, topics_of

    settings, project = current_project()
    read = {source.topic for source in project.sources.values()}
    if not {transactions.topic, labels.topic} <= read:
        raise ConfigurationError(
            f"simulate sends card transactions and their labels, and {project.name} reads"
            f" {', '.join(sorted(read))}",
            hint="send events of your own: headrace send",
        )
    kafka = kafka_config(settings)
    create_topics(kafka, topics_of(project))
    # The seed decides everything, this too.
    chance = random.Random(config.seed)  # noqa: S311 - a simulation
    with progress(_sending(config), quiet=as_json) as advance:
        report = send(kafka, disturbed(live_records(config), disorder, chance), rate, advance)
    if as_json:
        print_json({"records": report.records, "seconds": report.seconds, "rate": report.rate})
        return
    console().print(
        f"{counted(report.records, 'record')} in {report.seconds:.1f} s,"
        f" {report.rate:,.0f} a second"
    )


def _sending(config: SimulationConfig) -> str:
    """What is being sent, for the line that shows how far it has come."""
    if config.rows is not None:
        return f"send {config.rows:,} transactions and their labels"
    return f"send the transactions and labels of {config.days:,} days"
