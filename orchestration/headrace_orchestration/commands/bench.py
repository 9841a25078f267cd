"""`headrace bench`: measurements beside the peers, in one run on the same data."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from headrace_orchestration.commands import bench_training
from headrace_orchestration.commands.backfill import EngineName
from headrace_orchestration.output import console, print_table, spelled, status
from headrace_orchestration.session import current_settings

#: Of p99 and p99.9, by the rate.
_TARGETS = {2_000.0: ("≤ 40", "≤ 100"), 5_000.0: ("≤ 100", "")}

app = typer.Typer(
    help="Measure beside the peers, in one run on the same data.", no_args_is_help=True
)

Rows = Annotated[int, typer.Option(help="Transactions to generate.", min=1_000)]
Repeat = Annotated[int, typer.Option(help="Rounds that count, after one that warms up.", min=1)]
Rates = Annotated[
    list[float] | None,
    typer.Option("--rate", help="Transactions a second; may be repeated.", min=1),
]
Cards = Annotated[int, typer.Option(help="Cards that have state.", min=50)]
Backend = Annotated[str, typer.Option(help="Where state is kept: hashmap or rocksdb.")]
Changelog = Annotated[
    bool, typer.Option(help="Write changes of state as they are made: stream.state_changelog.")
]
Seconds = Annotated[float, typer.Option(help="Length of what is measured at a rate.", min=1)]
Search = Annotated[
    bool, typer.Option("--search", help="Look for the highest rate with a p99 of 100 ms too.")
]
Peer = Annotated[bool, typer.Option(help="Drain it by Quix Streams too.")]
StoreKinds = Annotated[
    list[str] | None, typer.Option("--backend", help="sqlite or redis; may be repeated.")
]
EventCounts = Annotated[
    list[int] | None,
    typer.Option("--events", help="Of an entity in its longest window; may be repeated.", min=1),
]
EntityEvents = Annotated[int, typer.Option(help="Of an entity in its longest window.", min=1)]
Entities = Annotated[int, typer.Option(help="Cards, and as many terminals.", min=1)]
Reads = Annotated[int, typer.Option(help="Reads of one row that are measured.", min=1)]
Rate = Annotated[float, typer.Option(help="Events a second.", min=1)]
Sizes = Annotated[
    list[int] | None, typer.Option("--events", help="In the lake; may be repeated.", min=1_000)
]
Days = Annotated[int, typer.Option(help="Over how many days, as many on each.", min=3)]
Windows = Annotated[
    int,
    typer.Option(
        help="Of so many events over 98 days, increments with windows of 1, 7 and 90 days too.",
        min=0,
    ),
]
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
    _write(json_file, asdict(figures))
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


@app.command("stream")
def stream(  # noqa: PLR0913, PLR0917 - one for each option
    rates: Rates = None,
    cards: Cards = 20_000,
    state_backend: Backend = "hashmap",
    changelog: Changelog = False,
    seconds: Seconds = 30,
    search: Search = False,
    json_file: JsonFile = None,
) -> None:
    """How long after a transaction its alert can be read, at fixed rates."""
    from headrace_orchestration.benchmarks.stream import Load, measure
    from headrace_schemas.errors import ConfigurationError
    from headrace_streaming.job.config import StateBackend

    if state_backend not in list(StateBackend):
        raise ConfigurationError.unknown("state backend", state_backend, list(StateBackend))
    load = Load(
        rates or list(_TARGETS), cards, StateBackend(state_backend), changelog, seconds, search
    )
    with status("bench stream") as advance:
        figures = measure(current_settings().home, load, advance)
    _write(json_file, [asdict(one) for one in figures])
    print_table(
        f"From a transaction's intended sending to its readable alert, ms; {cards:,} cards with"
        f" {spelled(figures[0].state_bytes_per_card)} bytes of state each, {state_backend}"
        f"{', changelog' if changelog else ''}",
        ("a second", "sent", "p50", "p99", "target", "p99.9", "target", "alerts", ""),
        [
            (
                int(one.rate),
                f"{one.sent_share:.1%}",
                one.p50_ms,
                one.p99_ms,
                _TARGETS.get(one.rate, ("", ""))[0],
                one.p999_ms,
                _TARGETS.get(one.rate, ("", ""))[1],
                one.alerts,
                "" if one.counts else "does not count: less than 99 % was sent",
            )
            for one in figures
        ],
    )
    if search:
        held = max((one.rate for one in figures if one.holds), default=None)
        console().print(f"the highest rate that holds a p99 of 100 ms: {spelled(held)} a second")


@app.command("drain")
def drain(
    # A million in 50 days: JVMs have compiled, and a card has as many events as it ever will.
    rows: Rows = 1_000_000,
    cards: Cards = 10_000,
    peer: Peer = True,
    json_file: JsonFile = None,
) -> None:
    """A backlog through the whole stream job and a replay, beside the same in Quix Streams."""
    from headrace_orchestration.benchmarks.drain import measure

    with status("bench drain") as advance:
        figures = measure(current_settings().home, rows, cards, advance, with_peer=peer)
    _write(json_file, asdict(figures))
    print_table(
        f"{figures.transactions:,} transactions and {figures.labels:,} labels, drained",
        ("", "a second", "target"),
        [
            ("decisions in immediate mode", figures.drain_eps, ""),
            ("  events, labels among them", figures.drain_events_eps, "≥ 40,000"),
            ("decisions in ordered mode", figures.ordered_drain_eps, ""),
            ("  in a replay ÷ in ordered mode", figures.replay_to_drain, "≥ 1"),
            ("decisions by Quix Streams", figures.peer_drain_eps, ""),
            ("  immediate mode ÷ Quix Streams", figures.drain_to_peer, "≥ 2"),
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
    _write(json_file, asdict(figures))
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


@app.command("online")
def online(
    backend: StoreKinds = None,
    events: EventCounts = None,
    entities: Entities = 200,
    reads: Reads = 2_000,
    json_file: JsonFile = None,
) -> None:
    """How long reads take, beside plain Feast on the same backend."""
    from headrace_orchestration.benchmarks.online import measure

    with status("bench online") as advance:
        figures = measure(
            backend or ["sqlite", "redis"], events or [60, 1_000, 100_000], entities, reads, advance
        )
    _write(json_file, [asdict(one) for one in figures])
    print_table(
        "12 features, milliseconds, dictionary included",
        ("backend", "events", "", "1 row p50", "p99", "100 rows p50", "bytes/entity"),
        [
            row
            for one in figures
            for row in (
                (
                    one.backend,
                    one.events,
                    "Feast's SDK",
                    one.rows1_p50_ms,
                    one.rows1_p99_ms,
                    one.rows100_p50_ms,
                    int(one.bytes_per_entity),
                ),
                (
                    "",
                    "",
                    "lean reader",
                    one.reader_rows1_p50_ms,
                    one.reader_rows1_p99_ms,
                    one.reader_rows100_p50_ms,
                    "",
                ),
                (
                    "",
                    "",
                    "plain Feast",
                    one.feast_rows1_p50_ms,
                    one.feast_rows1_p99_ms,
                    one.feast_rows100_p50_ms,
                    "",
                ),
            )
        ],
    )


@app.command("serve")
def serve(
    backend: StoreKinds = None,
    events: EntityEvents = 60,
    entities: Entities = 200,
    seconds: Seconds = 4,
    json_file: JsonFile = None,
) -> None:
    """How many requests a second the feature server bears, beside Feast's on the plain store."""
    from headrace_orchestration.benchmarks.serve import MOST_MS, measure_servers

    with status("bench serve") as advance:
        figures = measure_servers(
            backend or ["sqlite", "redis"], events, entities, seconds, advance
        )
    _write(json_file, [asdict(one) for one in figures])
    print_table(
        f"The highest rate of requests, 12 features of one row, with a p99 up to {MOST_MS:.0f} ms",
        ("backend", "server", "requests a second", "p50 ms", "p99 ms"),
        [
            (one.backend, name, int(held.rate), held.p50_ms, held.p99_ms)
            for one in figures
            for name, held in (("headrace serve", one.headrace), ("feast serve", one.feast))
        ],
    )


@app.command("rebuild")
def rebuild(
    backend: StoreKinds = None, events: Rows = 2_000_000, json_file: JsonFile = None
) -> None:
    """How long it takes to make the online store anew from the lake, and how large it gets."""
    from headrace_orchestration.benchmarks.rebuild import measure

    with status("bench rebuild") as advance:
        figures = measure(backend or ["sqlite", "redis"], events, advance)
    _write(json_file, [asdict(one) for one in figures])
    print_table(
        f"An online store made anew from {events:,} events in each of two sources",
        ("backend", "entities", "fields", "seconds", "s/million entities", "bytes/entity"),
        [
            (
                one.backend,
                one.entities,
                one.fields,
                one.seconds,
                int(one.seconds_per_million),
                int(one.bytes_per_entity),
            )
            for one in figures
        ],
    )


@app.command("freshness")
def freshness(
    backend: StoreKinds = None,
    rate: Rate = 1_000,
    cards: Cards = 5_000,
    seconds: Seconds = 30,
    json_file: JsonFile = None,
) -> None:
    """How long after an event is sent a value that counts it is read through Feast's SDK."""
    from headrace_orchestration.benchmarks.freshness import measure

    home = current_settings().home
    with status("bench freshness") as advance:
        figures = [
            measure(home, one, rate, cards, seconds, advance)
            for one in backend or ["sqlite", "redis"]
        ]
    _write(json_file, [asdict(one) for one in figures])
    print_table(
        f"{int(rate):,} events a second, a tenth of them of one card; milliseconds",
        ("backend", "p50", "p99", "target", "that card", "p99", "seen", "bytes/event"),
        [
            (
                one.backend,
                one.p50_ms,
                one.p99_ms,
                "≤ 250",
                one.hot_p50_ms,
                one.hot_p99_ms,
                f"{one.seen_share:.1%}",
                int(one.bytes_per_event),
            )
            for one in figures
        ],
    )


@app.command("scale")
def scale(
    events: Sizes = None,
    days: Days = 30,
    windows: Windows = 0,
    engine: EngineName = None,
    json_file: JsonFile = None,
) -> None:
    """Ingest, the first batch layer and a daily increment, as the number of events grows."""
    from headrace_orchestration.benchmarks.scale import WINDOWS, measure, measure_windows

    settings = current_settings()
    home, chosen = settings.home, engine or settings.engine.default
    with status("bench scale") as advance:
        figures = [
            measure(home, one, days, chosen, advance) for one in events or [1_000_000, 10_000_000]
        ]
        of_windows = measure_windows(home, windows, 98, 3, chosen, advance) if windows else None
    _write(json_file, [asdict(one) for one in (*figures, of_windows) if one is not None])
    print_table(
        f"{days} days of skewed events, engine {chosen}; seconds, and microseconds for each event",
        ("events", "ingest", "backfill", "µs", "increment", "of events", "µs", "GiB", "target"),
        [
            (
                one.events,
                round(one.ingest_s, 1),
                round(one.backfill_s, 1),
                round(one.backfill_us, 1),
                round(one.increment_s, 1),
                one.increment_events,
                round(one.increment_us, 1),
                round(one.peak_rss_gib, 2),
                "≤ 8",
            )
            for one in figures
        ],
    )
    if of_windows is not None:
        print_table(
            f"increments of {of_windows.increment_events:,} events after {of_windows.days} days",
            ("window", "seconds", f"÷ {WINDOWS[0]}", "target"),
            [
                (window, round(of_windows.increment_s[window], 2), round(ratio, 2), "≤ 1.5")
                for window, ratio in of_windows.ratio.items()
            ],
        )


app.command("loader")(bench_training.loader)
app.command("stage")(bench_training.stage)


def _write(file: Path | None, figures: object) -> None:
    if file is not None:
        file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
