from __future__ import annotations

import pyarrow as pa
import pytest

from headrace_batch.ingest.casting import Cast
from headrace_batch.ingest.feeds import Feed
from headrace_batch.ingest.handbook import handbook_feeds
from headrace_features import project
from headrace_features.fraud import definitions
from headrace_features.project import Project
from headrace_schemas.errors import ConfigurationError, UnsupportedError

FRAUD = project.collect("fraud", [definitions])
TABLE = pa.table(
    {
        "TRANSACTION_ID": [0, 1],
        "TX_DATETIME": pa.array([1_522_540_831_000_000, None], pa.timestamp("us")),
        "CUSTOMER_ID": [596, 4961],
        "TERMINAL_ID": [3156, 3412],
        "TX_AMOUNT": [57.16, 81.51],
        "TX_FRAUD": pa.array([0, 1], pa.int32()),
        "TX_FRAUD_SCENARIO": [0, 1],
    }
)


def taken(feed: Feed, table: pa.Table) -> dict[str, Cast]:
    columns = [column.name for column in feed.contract.columns]
    return dict(zip(columns, feed.take(table), strict=True))


def amounts(*values: object) -> list[object]:
    table = pa.table({"TX_AMOUNT": list(values)})
    (transactions, _) = handbook_feeds(FRAUD)
    found = taken(transactions, table)["amount_minor"]
    row: list[object] = found.values.to_pylist()
    for reason, places in found.refused:
        for place in places.nonzero()[0]:
            row[place] = reason.value
    return row


def test_a_row_gives_a_transaction_with_identifiers_as_plain_numbers() -> None:
    (transactions, _) = handbook_feeds(FRAUD)
    found = taken(transactions, TABLE)
    assert found["transaction_id"].values.to_pylist() == ["0", "1"]
    assert found["card_id"].values.to_pylist() == ["596", "4961"]
    assert found["terminal_id"].values.to_pylist() == ["3156", "3412"]
    assert found["event_time"].values.to_pylist() == [1_522_540_831_000, None]
    assert found["amount_minor"].values.to_pylist() == [5716, 8151]
    assert found["currency"].values.to_pylist() == [None, None]


def test_a_row_gives_a_label_that_is_known_after_seven_days() -> None:
    (_, labels) = handbook_feeds(FRAUD)
    found = taken(labels, TABLE)
    assert found["is_fraud"].values.to_pylist() == [False, True]
    assert found["reported_at"].values.to_pylist() == [1_522_540_831_000 + 7 * 86_400_000, None]


def test_every_amount_with_two_decimals_is_exact() -> None:
    cents = [*range(2_000_000), 10**9 + 1, 10**12 + 99]
    assert amounts(*[cent / 100 for cent in cents]) == cents


def test_an_amount_between_two_minor_units_is_refused() -> None:
    wrong = "wrong_type"
    assert amounts(0.005, 1.001, 2.5, float("nan"), float("inf"), None, -3.0, 1e300) == [
        *(wrong, wrong, 250, wrong, wrong, None, -300),
        "integer_overflow",
    ]


def test_amounts_may_be_text() -> None:
    assert amounts("57.16", "x", None) == [5716, "wrong_type", None]


def test_a_file_that_lacks_a_column_is_refused_with_its_name() -> None:
    (_, labels) = handbook_feeds(FRAUD)
    with pytest.raises(ConfigurationError, match="f has no column TX_FRAUD, which TransactionLab"):
        labels.require(TABLE.drop_columns(["TX_FRAUD"]).schema, "f")


def test_an_amount_column_that_holds_no_numbers_is_refused() -> None:
    (transactions, _) = handbook_feeds(FRAUD)
    index = TABLE.schema.get_field_index("TX_AMOUNT")
    schema = TABLE.schema.set(index, pa.field("TX_AMOUNT", pa.list_(pa.int64())))
    with pytest.raises(ConfigurationError, match="column TX_AMOUNT is list"):
        transactions.require(schema, "f")


def test_a_project_without_these_events_is_refused() -> None:
    other = Project("other", {}, {}, {}, {}, {})
    with pytest.raises(UnsupportedError, match="needs one source of Transaction, and the project"):
        handbook_feeds(other)
