"""Some files of a table as a Spark frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from headrace_batch.spark_kernel import spark_schema
from headrace_batch.warehouse import Warehouse
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def spark_files(
    spark: SparkSession, warehouse: Warehouse, table: str, files: Sequence[str], columns: pa.Schema
) -> DataFrame:
    """Columns of the rows of some files, and their days.

    Which files there are is known from the table's log; Spark needn't read that as well.

    Args:
        spark: the session.
        warehouse: where the table is.
        table: its name; it is partitioned by days.
        files: paths below it.
        columns: those that are read; one that a file lacks is null there.
    """
    root = warehouse.uri(table)
    day = pa.field(EVENT_DATE, pa.date32())
    schema = spark_schema([day, *(field for field in columns if field.name != EVENT_DATE)])
    if not files:
        return spark.createDataFrame([], schema)
    return (
        spark.read.schema(schema)
        # The days are in the names of folders. What else is in a name is meant as it stands.
        .options(basePath=root, __globPaths__="false")
        .parquet(*(f"{root}/{file}" for file in files))
    )
