"""Transactions for the stream job of a test, and what its decisions have to be."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from headrace_features import oracle
from headrace_features.decisions import fired
from headrace_features.fraud import definitions as fraud
from headrace_features.oracle import SpineRow
from histories import bits

START_MS = 1_600_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def transactions(count: int, chance: random.Random) -> list[dict[str, Any]]:
    """Transactions of a few cards at a few terminals, in the order of time, with ties."""
    events = []
    time_ms = START_MS
    for number in range(count):
        time_ms += chance.choice([0, 1, 500, 20_000, HOUR_MS])
        events.append(
            {
                "transaction_id": f"t{number:06d}"[::-1],
                "card_id": f"card {chance.randrange(12)}",
                "terminal_id": f"terminal {chance.randrange(8)}",
                "event_time": time_ms,
                "amount_minor": chance.choice([100, 2_500, chance.randrange(1, 10**6)]),
                "country": chance.choice(["DE", "FR", None]),
                "latitude": chance.choice([None, chance.uniform(-90, 90)]),
                "longitude": chance.choice([None, chance.uniform(-180, 180)]),
            }
        )
    return events


def labels_of(events: Sequence[Mapping[str, Any]], chance: random.Random) -> list[dict[str, Any]]:
    """Labels of transactions, known a week later or more."""
    named = ("transaction_id", "card_id", "terminal_id", "event_time")
    return [
        {
            **{name: event[name] for name in named},
            "is_fraud": chance.random() < 0.4,
            "reported_at": event["event_time"] + 7 * DAY_MS + chance.choice([0, 0, HOUR_MS]),
        }
        for event in events
    ]


def as_row(schema: type, event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: event.get(name) for name in schema.__struct_fields__}  # type: ignore[attr-defined] # a struct


def require_the_oracle_s(
    decided: Sequence[Mapping[str, Any]],
    card_events: Mapping[str, Sequence[dict[str, Any]]],
    label_events: Mapping[str, Sequence[dict[str, Any]]],
) -> None:
    """See that decisions carry the values of the events that had been absorbed, and the rules.

    Both mappings have the absorbed events by the transaction that is decided. A view that an event
    came too late for says so, and has no values.
    """
    for one in decided:
        event = as_row(fraud.transactions.schema, one["event"])
        key = str(event["transaction_id"])
        expected: dict[str, object] = {}
        for view, events in (
            (fraud.card_activity, card_events[key]),
            (fraud.terminal_risk, label_events[key]),
        ):
            row = SpineRow(event[view.entity.join_key], event["event_time"], key)
            values: Mapping[str, object] = dict.fromkeys(view.feature_names)
            if one["views"][view.name]["status"] == "complete":
                values = oracle.values(view, events, [row])[0]
            expected |= {f"{view.name}__{name}": value for name, value in values.items()}
        found = one["features"]
        assert {n: bits(v) for n, v in found.items()} == {n: bits(v) for n, v in expected.items()}
        rules = fired(fraud.card_decisions, event, expected)
        assert tuple(one["rules"]) == rules
        assert one["flagged"] == bool(rules)


def absorbed_by_card(decided: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """For each transaction those of its card that had been absorbed, by the sequence numbers."""
    by_card: dict[str, list[dict[str, Any]]] = {}
    for one in decided:
        by_card.setdefault(one["event"]["card_id"], []).append(one)
    seen: dict[str, list[dict[str, Any]]] = {}
    for of_card in by_card.values():
        of_card.sort(key=lambda one: one["views"]["card_activity"]["sequence"])
        assert [one["views"]["card_activity"]["sequence"] for one in of_card] == list(
            range(1, len(of_card) + 1)
        )
        rows = [as_row(fraud.transactions.schema, one["event"]) for one in of_card]
        for number, row in enumerate(rows):
            seen[row["transaction_id"]] = rows[: number + 1]
    return seen


def complete(decided: Sequence[Mapping[str, Any]], view: str) -> float:
    """The share of decisions that have the values of a view."""
    told = [str(one["views"][view]["status"]) for one in decided]
    return told.count("complete") / len(told)
