from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_features.fraud import definitions as fraud
from headrace_features.project import load_project
from headrace_orchestration.file_records import FileRecords, file_records
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason
from headrace_schemas.settings import load

DAY_MS = 86_400_000
START_MS = 1_600_000_000_000


def records(folder: Path, rows: list[dict[str, object]]) -> FileRecords:
    """The records of a file in the format of the handbook."""
    file = folder / "transactions.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    settings = load(folder, {})
    return file_records(settings, load_project(settings), str(file), file_format="handbook")


def row(number: int, day: float, amount: float = 1.25) -> dict[str, object]:
    return {
        "TRANSACTION_ID": number,
        "TX_DATETIME": START_MS + int(day * DAY_MS),
        "CUSTOMER_ID": 10 + number,
        "TERMINAL_ID": 20 + number,
        "TX_AMOUNT": amount,
        "TX_FRAUD": 1,
    }


def test_records_come_in_the_order_in_which_they_become_known(tmp_path: Path) -> None:
    found = records(tmp_path, [row(2, 7), row(0, 0), row(1, 3)])
    sent = list(found.records)
    assert len(found.records) == len(sent) == 6
    # The label of the first transaction is known after seven days, before the third is answered.
    assert [(record.topic, record.key) for record in sent] == [
        ("transactions", "10"),
        ("transactions", "11"),
        ("transaction_labels", "20"),
        ("transactions", "12"),
        ("transaction_labels", "21"),
        ("transaction_labels", "22"),
    ]
    assert [record.at_ms for record in sent] == sorted(record.at_ms for record in sent)


def test_records_are_events_of_the_contract(tmp_path: Path) -> None:
    transaction, label = records(tmp_path, [row(0, 0)]).records
    assert fraud.transactions.codec.decode(transaction.value).amount_minor == 125
    assert fraud.labels.codec.decode(label.value).reported_at == START_MS + 7 * DAY_MS
    assert json.loads(transaction.value)["country"] is None


def test_rows_that_break_the_contract_are_counted_and_left_out(tmp_path: Path) -> None:
    found = records(tmp_path, [row(0, 0), row(1, 0, amount=0.001)])
    assert found.rejected["transactions"] == {Reason.WRONG_TYPE: 1}
    assert not found.rejected["transaction_labels"]
    assert [record.topic for record in found.records].count("transactions") == 1


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecordError, match=r"all rows break the contract \(wrong_type 1\)"):
        records(tmp_path, [row(0, 0, amount=0.001)])
