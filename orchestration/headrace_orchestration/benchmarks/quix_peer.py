"""The features of the fraud project in Quix Streams: the peer of `bench drain`.

A script for an environment of its own, which has Quix Streams and nothing of Headrace. It computes
what the views `card_activity` and `terminal_risk` declare, from the same topics, in Quix's own way:
the events of a key are JSON in its state store, transactions go to their terminal through a
repartition topic, output and state are exactly-once. Rules, alerts, the recognition of duplicates
and of late events are left out, which is in its favour.
"""

from __future__ import annotations

import argparse
import math
from bisect import bisect_right, insort
from pathlib import Path
from typing import Any

from quixstreams import Application, State

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS
_COUNTS = (
    ("1m", _MINUTE_MS),
    ("1h", _HOUR_MS),
    ("1d", _DAY_MS),
    ("7d", 7 * _DAY_MS),
    ("30d", 30 * _DAY_MS),
)
_MEANS = _COUNTS[2:]
_DELAY_MS = 7 * _DAY_MS
_LATENESS_MS = _HOUR_MS


def card_activity(event: dict[str, Any], state: State) -> dict[str, Any]:
    """Absorb a transaction into its card's events and answer as of its time."""
    events: list[list[Any]] = state.get("events") or []
    now: int = event["event_time"]
    last = events[-1] if events else None
    insort(
        events,
        [now, event["amount_minor"], event["country"], event["latitude"], event["longitude"]],
    )
    del events[: bisect_right(events, [events[-1][0] - 30 * _DAY_MS - _LATENESS_MS, math.inf])]
    state.set("events", events)
    amounts = [one[1] for one in events]
    starts = {label: bisect_right(events, [now - size, math.inf]) for label, size in _COUNTS}
    features: dict[str, Any] = {f"count_{k}": len(events) - at for k, at in starts.items()}
    for label, _ in _MEANS:
        seen = amounts[starts[label] :]
        features[f"amount_minor_mean_{label}"] = sum(seen) / len(seen)
    seen = amounts[starts["30d"] :]
    features["amount_minor_stddev_30d"] = _deviation(seen)
    countries = {one[2] for one in events[starts["1d"] :]} - {None}
    features["country_distinct_1d"] = len(countries)
    known = last is not None and last[0] > now - 30 * _DAY_MS
    for name, place in (("event_time", 0), ("latitude", 3), ("longitude", 4)):
        features[f"{name}_last_30d_excluding_current"] = last[place] if last and known else None
    return {"event": event, "terminal_id": event["terminal_id"], "card_activity": features}


def _deviation(values: list[int]) -> float | None:
    """The sample's standard deviation."""
    count = len(values)
    if count < 2:  # noqa: PLR2004 - of one value there is none
        return None
    total = sum(values)
    squares = sum(value * value for value in values)
    return math.sqrt((count * squares - total * total) / (count * (count - 1)))


def terminal_risk(record: dict[str, Any], state: State) -> dict[str, Any] | None:
    """Absorb a label into its terminal's, or answer a transaction."""
    labels: list[list[Any]] = state.get("labels") or []
    if "is_fraud" in record:
        insort(labels, [record["event_time"], record["is_fraud"]])
        del labels[: bisect_right(labels, [labels[-1][0] - 30 * _DAY_MS - _LATENESS_MS, math.inf])]
        state.set("labels", labels)
        return None
    end_ms = record["event"]["event_time"] - _DELAY_MS
    end = bisect_right(labels, [end_ms, math.inf])
    features: dict[str, Any] = {}
    for label, size in _MEANS:
        begin = bisect_right(labels, [end_ms - size, math.inf])
        frauds = [one[1] for one in labels[begin:end]]
        features[f"count_{label}_delayed_7d"] = len(frauds)
        features[f"is_fraud_mean_{label}_delayed_7d"] = (
            sum(frauds) / len(frauds) if frauds else None
        )
    return {**record, "terminal_risk": features}


def main() -> None:
    """Run one of the processes until it is told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--broker", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--state", required=True, type=Path)
    given = parser.parse_args()
    app = Application(
        broker_address=given.broker,
        consumer_group="headrace-bench-peer",
        auto_offset_reset="earliest",
        # As often as Headrace's job completes a checkpoint.
        commit_interval=1.0,
        processing_guarantee="exactly-once",
        state_dir=given.state,
        # Repartitioned transactions have to meet the labels, which were sent by this one.
        producer_extra_config={"partitioner": "consistent_random", "compression.type": "lz4"},
        loglevel="WARNING",
    )
    text = {"key_serializer": "str", "key_deserializer": "str"}
    transactions = app.topic("transactions", key_deserializer="str", value_deserializer="json")
    labels = app.topic("transaction_labels", key_deserializer="str", value_deserializer="json")
    output = app.topic(given.output, key_serializer="str", value_serializer="json")
    cards = app.dataframe(transactions).apply(card_activity, stateful=True)
    terminals = cards.group_by("terminal_id", **text).concat(app.dataframe(labels))
    decided = terminals.apply(terminal_risk, stateful=True).filter(lambda one: one is not None)
    decided.to_topic(output, key=lambda one: one["event"]["transaction_id"])
    app.run()


if __name__ == "__main__":
    main()
