"""A backfill on Spark: the kernel on sorted partitions, all days in one commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812 - the name it has everywhere

from headrace_batch.backfill_rows import feature_columns, features_at_events, span_ms
from headrace_batch.backfill_table import FeatureTable, days_predicate
from headrace_batch.local_events import Span
from headrace_batch.spark_errors import spark_errors
from headrace_batch.spark_events import partitions_for, spark_events
from headrace_batch.spark_kernel import by_entity
from headrace_batch.spark_session import spark_session
from headrace_batch.warehouse import Warehouse
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_schemas.settings import Settings


def backfill(  # noqa: PLR0913, PLR0917 - see `Engine.backfill`
    settings: Settings,
    warehouse: Warehouse,
    view: FeatureView,
    first: date,
    last: date,
    asked: Callable[[int], None],
) -> int:
    """Write the features at every event of some days; returns the number of rows.

    Args:
        settings: how a Spark session is made.
        warehouse: where events and features are.
        view: the definition.
        first, last: the days, both included.
        asked: whether the events of a version of their table may come into the history.

    Raises:
        RetryableError: another process writes the table, or has taken it over.
    """
    first_ms, last_ms = span_ms(first, last)
    before_ms = view.lookback_ms
    span = Span(None if before_ms is None else first_ms - before_ms, last_ms)
    counted = Observation()
    with FeatureTable.held(warehouse, view) as table:
        version = warehouse.open(view.source.table).version()
        # Spark would read what the table has by the time that it gets to it.
        fixed = replace(warehouse, versions={view.source.table: version})
        asked(version)
        # Only now: what can't be done needs no session.
        spark = spark_session(settings)
        with (
            table.lease.publishing_by_spark() as said,
            spark_errors(f"backfill of {view.name}", conflict=table.lease.conflict),
        ):
            partitions = partitions_for(spark, fixed, view.source, span)
            features = by_entity(
                spark_events(spark, fixed, view.source, view.input_columns, span),
                view,
                partitions,
                partial(features_at_events, first_ms=first_ms, last_ms=last_ms),
                feature_columns(view),
            )
            (
                features.select(*table.columns)
                .observe(counted, F.count(F.lit(1)).alias("rows"))
                # Brings the rows of a day together: a file or a few for each, however many tasks.
                .hint("rebalance", F.col(EVENT_DATE))
                .write.format("delta")
                .mode("overwrite")
                .option("replaceWhere", days_predicate(first, last))
                .options(**said)
                .save(table.uri)
            )
    # Not before the lease is known to be ours: of a write that Delta passes over, as another
    # process has taken the table over, nothing is ever counted.
    with spark_errors(f"backfill of {view.name}"):
        return int(counted.get["rows"])
