from __future__ import annotations

import json

from headrace_features.fraud import definitions as fraud
from headrace_orchestration.parity.decoding import DecisionDecoder
from recordings import Stream, transactions


def test_a_decision_of_other_definitions_keeps_its_place_and_says_why_it_is_not_read() -> None:
    stream = Stream(fraud.card_decisions)
    for event in transactions(2, seed=1):
        stream.take(fraud.transactions, event)
    read, other = stream.told
    del other["views"]["card_activity"]
    values = [json.dumps(one).encode() for one in (read, other)]
    table = DecisionDecoder(fraud.card_decisions).table(values)
    places = ("id", "epoch", "partition", "offset")
    assert [[row[name] for name in places] for row in table.to_pylist()] == [
        [one[name] for name in places] for one in (read, other)
    ]
    good, unread = table["unread"].to_pylist()
    assert good is None
    assert "missing required field `card_activity`" in unread
