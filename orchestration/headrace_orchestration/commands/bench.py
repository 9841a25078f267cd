"""`headrace bench`: measurements beside the peers, in one run on the same data."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from headrace_orchestration.commands.backfill import EngineName
from headrace_orchestration.output import print_table, status
from headrace_orchestration.session import current_settings

app = typer.Typer(
    help="Measure beside the peers, in one run on the same data.", no_args_is_help=True
)

Rows = Annotated[int, typer.Option(help="Transactions to generate.", min=1_000)]
Repeat = Annotated[int, typer.Option(help="Rounds that count, after one that warms up.", min=1)]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures to a file.")]


@app.callback()
def bench() -> None:
    """Measure beside the peers, in one run on the same data."""


@app.command("batch")
def batch(rows: Rows = 1_750_000, repeat: Repeat = 3, json_file: JsonFile = None) -> None:
    """The kernel in-process and on Spark, beside DuckDB's and Spark SQL's windows."""
    from headrace_orchestration.benchmarks.batch import measure

    with status("bench batch") as advance:
        figures = measure(current_settings(), rows, repeat, advance)
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(figures), indent=2) + "\n", encoding="utf-8")
    print_table(
        f"12 features of {figures.rows:,} transactions, Parquet to Parquet",
        ("", "seconds", "target"),
        [
            ("kernel, in-process", figures.kernel_s, ""),
            ("DuckDB's windows", figures.duckdb_s, ""),
            ("  kernel ÷ DuckDB", figures.kernel_to_duckdb, "≤ 0.7"),
            ("kernel on Spark", figures.spark_kernel_s, ""),
            ("Spark SQL's windows", figures.spark_sql_s, ""),
            ("  kernel on Spark ÷ Spark SQL", figures.spark_kernel_to_spark_sql, "≤ 0.5"),
            ("hot key, time at 10 × ÷ 1 ×", figures.hot_key_growth, "≤ 12"),
        ],
    )


@app.command("memory")
def memory(
    events: Rows = 10_000_000, engine: EngineName = None, json_file: JsonFile = None
) -> None:
    """How much memory a backfill of many events takes, process by process."""
    from headrace_orchestration.benchmarks.memory import measure

    chosen = engine or current_settings().engine.default
    with status("bench memory") as advance:
        figures = measure(events, chosen, advance)
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(figures), indent=2) + "\n", encoding="utf-8")
    print_table(
        f"Backfill of {figures.events:,} events in each of two sources, engine {figures.engine}",
        ("", "", "target"),
        [
            ("ingest, seconds", figures.ingest_s, ""),
            ("backfill, seconds", figures.backfill_s, ""),
            *((f"{name}, GiB", peak, "≤ 4") for name, peak in figures.peak_gib),
            ("all at once, GiB", figures.peak_sum_gib, ""),
        ],
    )
