"""A record is an event under the conditions that the feature operator has."""

from __future__ import annotations

import json

import pytest

from headrace_features.fraud.definitions import labels, transactions
from headrace_features.records import RecordReader
from headrace_schemas.errors import BadRecordError

SENT_AT_MS = 1_600_000_000_000
AHEAD_MS = 300_000
LABEL = {
    "transaction_id": "t",
    "card_id": "c",
    "terminal_id": "m",
    "event_time": SENT_AT_MS,
    "is_fraud": True,
    "reported_at": SENT_AT_MS + AHEAD_MS,
}


def test_a_record_within_the_bound_is_an_event() -> None:
    event = RecordReader(labels).read(json.dumps(LABEL).encode(), SENT_AT_MS)
    assert event == labels.schema(**LABEL)


def test_a_time_too_far_ahead_of_the_record_is_refused_in_the_words_of_the_operator() -> None:
    late = json.dumps(LABEL | {"reported_at": SENT_AT_MS + AHEAD_MS + 1}).encode()
    with pytest.raises(BadRecordError) as refused:
        RecordReader(labels).read(late, SENT_AT_MS)
    assert refused.value.reason == "event_time_out_of_range"
    assert refused.value.field == "reported_at"
    assert str(refused.value) == (
        "TransactionLabel is of 1600000300001, 300001 ms after it was sent, expected at most 300000"
    )


def test_a_record_without_bytes_is_undecodable() -> None:
    with pytest.raises(BadRecordError) as refused:
        RecordReader(transactions).read(None, SENT_AT_MS)
    assert refused.value.reason == "undecodable"
