"""Row expressions mean in Spark SQL what the truth table says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from headrace_schemas.columns import ColumnType
from truth_table import COLUMNS, LINES, Line, Outcome

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SQL_TYPES = {
    ColumnType.INT64: "BIGINT",
    ColumnType.FLOAT64: "DOUBLE",
    ColumnType.STRING: "STRING",
    ColumnType.BOOL: "BOOLEAN",
}


def fails(line: Line) -> bool:
    """Whether the table says that Spark raises an error."""
    return line.elsewhere.get("spark", line.expected).error is not None


def table(spark: SparkSession, lines: Sequence[Line]) -> DataFrame:
    """The rows of some lines, each with its number."""
    columns = ", ".join(f"{name} {SQL_TYPES[kind]}" for name, kind in COLUMNS.items())
    rows = [(number, *line.row.values()) for number, line in enumerate(lines)]
    return spark.createDataFrame(rows, f"line INT, {columns}").coalesce(1)


def test_every_line_of_the_truth_table_that_has_a_value_has_it_in_spark(
    spark: SparkSession,
) -> None:
    lines = [line for line in LINES if not fails(line)]
    numbers: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        numbers.setdefault(line.text, []).append(number)
    # One job for all: a column for each expression, which only its own lines compute.
    columns = [
        f"CASE WHEN line BETWEEN {min(own)} AND {max(own)} THEN {text} END"
        for text, own in numbers.items()
    ]
    places = {text: place for place, text in enumerate(numbers)}
    found = table(spark, lines).selectExpr("line", *columns).collect()
    assert len(found) == len(lines)
    for row in found:
        line = lines[row[0]]
        outcome = Outcome(row[places[line.text] + 1])
        assert line.agrees("spark", outcome), (line, outcome)


def test_every_line_of_the_truth_table_that_is_an_error_is_one_in_spark(
    spark: SparkSession,
) -> None:
    from pyspark.errors import PySparkException

    lines = [line for line in LINES if fails(line)]
    rows = table(spark, lines).cache()
    for number, line in enumerate(lines):
        chosen = rows.filter(f"line = {number}")
        with pytest.raises(PySparkException) as caught:
            chosen.selectExpr(line.text).collect()
        assert line.agrees("spark", Outcome(error=str(caught.value))), (line, caught.value)
    rows.unpersist()
