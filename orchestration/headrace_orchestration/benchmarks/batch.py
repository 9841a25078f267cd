"""`bench batch`: the kernel in-process and on Spark, beside DuckDB's and Spark SQL's windows.

Every contender reads the same Parquet files and writes Parquet files with the same twelve features;
the results are compared before a figure is given.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_batch.backfill_rows import feature_columns, features_at_events
from headrace_batch.simulator import config_for_rows, simulate
from headrace_features.kernel.compute import compute
from headrace_features.kernel.prepare import Spine
from headrace_orchestration.benchmarks.figures import in_turn
from headrace_orchestration.benchmarks.published_features import BY_CARD, VIEWS, sql
from headrace_schemas.errors import HeadraceError
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from headrace_features.definitions.views import FeatureView
    from headrace_schemas.settings import Settings

_THREADS = 2
_HOT_EVENTS = 200_000
_HOT_FACTOR = 10
#: They take a tenth of a second: enough rounds for a median that one slow moment doesn't move.
_HOT_ROUNDS = 15


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """What was measured; times are medians in seconds.

    Attributes:
        rows: transactions, each with a label.
        kernel_s, spark_kernel_s, spark_sql_s, duckdb_s: from Parquet to Parquet, 12 features.
        kernel_to_duckdb, spark_kernel_to_spark_sql: ratios of the above.
        hot_key_growth: time for ten times the events of one key, divided by that for one time.
        repeat: rounds that were counted.
    """

    rows: int
    kernel_s: float
    spark_kernel_s: float
    spark_sql_s: float
    duckdb_s: float
    kernel_to_duckdb: float
    spark_kernel_to_spark_sql: float
    hot_key_growth: float
    repeat: int


def measure(
    settings: Settings, rows: int, repeat: int, advance: Callable[[str], None]
) -> BatchFigures:
    """Run all contenders and check that they agree.

    Args:
        settings: how a Spark session is made.
        rows: transactions to generate.
        repeat: rounds that count.
        advance: is told what runs next.

    Raises:
        HeadraceError: two contenders gave different values.
    """
    from headrace_batch.spark_session import spark_session

    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    try:
        advance("generate")
        _generate(folder, rows)
        spark = spark_session(settings)
        seconds = in_turn(
            {
                "kernel": partial(_kernel, folder),
                "duckdb": partial(_duckdb, folder),
                "spark_kernel": partial(_spark_kernel, folder, spark),
                "spark_sql": partial(_spark_sql, folder, spark),
            },
            repeat,
            advance,
        )
        advance("compare the results")
        for peer in ("duckdb", "spark_kernel", "spark_sql"):
            _compare(folder, peer)
        growth = _hot_key_growth(advance)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return BatchFigures(
        rows=rows,
        kernel_s=seconds["kernel"],
        spark_kernel_s=seconds["spark_kernel"],
        spark_sql_s=seconds["spark_sql"],
        duckdb_s=seconds["duckdb"],
        kernel_to_duckdb=seconds["kernel"] / seconds["duckdb"],
        spark_kernel_to_spark_sql=seconds["spark_kernel"] / seconds["spark_sql"],
        hot_key_growth=growth,
        repeat=repeat,
    )


_features = partial(features_at_events, first_ms=-(2**62), last_ms=2**62)


def _generate(folder: Path, rows: int) -> None:
    simulation = simulate(config_for_rows(rows))
    for view, table in zip(VIEWS, (simulation.transactions, simulation.labels), strict=True):
        pq.write_table(table, _events(folder, view))


def _events(folder: Path, view: FeatureView) -> Path:
    return folder / f"{view.source.name}.parquet"


def _result(folder: Path, contender: str, view: FeatureView) -> Path:
    return folder / f"{contender}_{view.name}.parquet"


def _kernel(folder: Path) -> None:
    # As many threads as DuckDB has: a table is written while the other is computed.
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(partial(_kernel_of_view, folder), VIEWS))


def _kernel_of_view(folder: Path, view: FeatureView) -> None:
    events = pq.read_table(_events(folder, view), columns=list(view.input_columns))
    features = _features(view, events)
    # A dictionary pays where values repeat. The other contenders' writers find out themselves.
    repeating = [view.entity.join_key, EVENT_DATE]
    pq.write_table(features, _result(folder, "kernel", view), use_dictionary=repeating)


def _duckdb(folder: Path) -> None:
    import duckdb  # a peer, which only this benchmark needs

    with duckdb.connect(config={"threads": _THREADS}) as db:
        for view in VIEWS:
            query = sql(view, f"read_parquet('{_events(folder, view)}')")
            db.execute(f"COPY ({query}) TO '{_result(folder, 'duckdb', view)}' (FORMAT parquet)")


def _spark_kernel(folder: Path, spark: SparkSession) -> None:
    from headrace_batch.spark_kernel import by_entity

    for view in VIEWS:
        events = spark.read.parquet(str(_events(folder, view))).select(*view.input_columns)
        features = by_entity(events, view, _THREADS, _features, feature_columns(view))
        # The peers write no date either.
        features.drop(EVENT_DATE).write.mode("overwrite").parquet(
            str(_result(folder, "spark_kernel", view))
        )


def _spark_sql(folder: Path, spark: SparkSession) -> None:
    for view in VIEWS:
        table = f"parquet.`{_events(folder, view)}`"
        spark.sql(sql(view, table)).write.mode("overwrite").parquet(
            str(_result(folder, "spark_sql", view))
        )


def _compare(folder: Path, peer: str) -> None:
    """Raise an error unless a peer's values are the kernel's, means within 1e-9."""
    for view in VIEWS:
        key = view.source.dedup_key
        ours, theirs = (
            pq.read_table(_result(folder, name, view)).sort_by(key) for name in ("kernel", peer)
        )
        for name in view.feature_names:
            a, b = (table[name].cast(pa.float64()).to_numpy() for table in (ours, theirs))
            if not np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True):
                message = f"{peer} and the kernel give different values of {name}"
                raise HeadraceError(message)


def _hot_key_growth(advance: Callable[[str], None]) -> float:
    """How the kernel's time grows when one key gets ten times as many events."""

    def run(events: int) -> Callable[[], object]:
        chance = np.random.default_rng(0)
        times_ms = np.sort(chance.integers(0, 180 * 86_400_000, events)) + 1_522_540_800_000
        table = pa.table(
            {
                "transaction_id": pa.array(np.arange(events)).cast(pa.string()),
                "card_id": pa.array(np.zeros(events, np.int8)).cast(pa.string()),
                "event_time": times_ms,
                "amount_minor": chance.integers(1, 100_000, events),
            }
        )
        spine = Spine(table["card_id"], table["event_time"])
        return lambda: compute(BY_CARD, table, spine)

    seconds = in_turn(
        {"hot key": run(_HOT_EVENTS), "hotter key": run(_HOT_EVENTS * _HOT_FACTOR)},
        _HOT_ROUNDS,
        advance,
    )
    return seconds["hotter key"] / seconds["hot key"]
