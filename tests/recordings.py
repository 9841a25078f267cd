"""Recordings of a stream in which the oracle answers: what topics would hold, event by event."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from headrace_features import oracle
from headrace_features.decisions import fired
from headrace_features.definitions.decisions import Decisions
from headrace_features.definitions.sources import EventSource
from headrace_features.definitions.views import FeatureView
from headrace_features.expressions.rows import evaluate
from headrace_features.oracle import SpineRow
from headrace_orchestration.parity.decoding import DecisionDecoder, event_table, ledger_table
from headrace_orchestration.parity.recording import (
    DEAD_LETTER_SCHEMA,
    DecisionLog,
    Recording,
    SourceLog,
    record_places,
)
from headrace_orchestration.parity.run import Parity, compare
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason

HOUR_MS = 3_600_000

Event = dict[str, Any]


@dataclass
class Stream:
    """A stream job in immediate mode, as slow and obvious as the oracle.

    What it has told lies open, to be tampered with.
    """

    decisions: Decisions
    lateness_ms: int = HOUR_MS
    read: dict[str, list[Event]] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    dead: list[dict[str, Any]] = field(default_factory=list)
    bad: dict[str, dict[int, Reason]] = field(default_factory=dict)

    def take(self, source: EventSource, event: Event) -> None:
        """Read one event that is no duplicate, and decide on it if it is one to decide on."""
        records = self.read.setdefault(source.name, [])
        offset = len(records)
        records.append(event)
        if source.name == self.decisions.source.name:
            self._decide(event, offset)

    def refuse(self, source: EventSource, event: Event, reason: str) -> None:
        """Read one event that the state does not take in, which the ledger tells."""
        records = self.read.setdefault(source.name, [])
        (view,) = (view for view in self.decisions.views if view.source.name == source.name)
        duplicate = reason == "duplicate"
        self.ledger.append(
            {
                "source": source.name,
                "id": event[source.dedup_key],
                "reason": reason,
                "decision": self.decisions.name,
                "view": None if duplicate else view.name,
                view.entity.join_key: event[view.entity.join_key],
                "sequence": -1,
                "partition": 0,
                "offset": len(records),
            }
        )
        records.append({**event, "__refused": True})

    def stop(self, source: EventSource, event: Event, views: Sequence[str]) -> None:
        """Read one event that only some views can evaluate, which makes it a dead letter."""
        records = self.read.setdefault(source.name, [])
        letter = {"topic": source.topic, "reason": "integer_overflow", "partition": 0}
        self.dead.append({**letter, "offset": len(records)})
        records.append({**event, "__views": views})

    def _decide(self, event: Event, offset: int) -> None:
        features: dict[str, Any] = {}
        views = {}
        for view in self.decisions.views:
            key = event[view.entity.join_key]
            seen = [
                one
                for one in self.read.get(view.source.name, [])
                if "__refused" not in one
                and view.name in one.get("__views", [view.name])
                and passes(view, one)
            ]
            row = SpineRow(key, event["event_time"], event[self.decisions.source.dedup_key])
            clock_ms = [one["event_time"] for one in seen if one[view.entity.join_key] == key]
            values: oracle.Row = dict.fromkeys(view.feature_names)
            status = "late"
            if event["event_time"] >= max(clock_ms, default=0) - self.lateness_ms:
                try:
                    values = oracle.values(view, seen, [row])[0]
                    status = "complete"
                except BadRecordError:
                    status = "overflow"
            features |= {f"{view.name}__{name}": value for name, value in values.items()}
            views[view.name] = {"sequence": len(clock_ms), "status": status}
        rules = fired(self.decisions, event, features)
        self.told.append(
            {
                "id": event[self.decisions.source.dedup_key],
                "decision": self.decisions.name,
                "epoch": 1,
                "flagged": bool(rules),
                "rules": rules,
                "event": event,
                "features": features,
                "views": views,
                "partition": 0,
                "offset": offset,
            }
        )

    def recording(self) -> Recording:
        """What the topics hold now."""
        decoder = DecisionDecoder(self.decisions)
        table = decoder.table(json.dumps(one).encode() for one in self.told)
        sources = {view.source.name: view.source for view in self.decisions.views}
        sources[self.decisions.source.name] = self.decisions.source
        return Recording(
            sources={name: self._log(source) for name, source in sources.items()},
            decisions={self.decisions.name: DecisionLog(self.decisions, table)},
            ledger=ledger_table(json.dumps(one).encode() for one in self.ledger),
            dead_letters=pa.Table.from_pylist(self.dead, DEAD_LETTER_SCHEMA),
            modes={1: "immediate"},
            lateness_ms={1: self.lateness_ms},
        )

    def parity(self) -> Parity:
        """What `headrace parity` would find."""
        return parity_of(self.recording())

    def _log(self, source: EventSource) -> SourceLog:
        bad = self.bad.get(source.name, {})
        records = self.read.get(source.name, [])
        offset = np.array([n for n in range(len(records)) if n not in bad], np.int64)
        columns = [column.name for column in source.columns]
        events = [
            source.schema(**{name: records[number].get(name) for name in columns})
            for number in offset.tolist()
        ]
        return SourceLog(
            source=source,
            events=event_table(source, events),
            place=record_places(np.zeros(len(events), np.int64), offset),
            partition=np.zeros(len(events), np.int64),
            sent_ms=offset,
            bad=bad,
        )


def parity_of(recording: Recording) -> Parity:
    """What `headrace parity` would find in a recording."""
    views = [view.name for log in recording.decisions.values() for view in log.decisions.views]
    return compare(recording, views, 100, lambda _: None)


def passes(view: FeatureView, event: Event) -> bool:
    """Whether an event is one of a view's."""
    condition = view.filter_expression
    return condition is None or evaluate(condition.node, event) is True


def transactions(count: int, seed: int) -> list[Event]:
    """Transactions of three cards at two terminals, in the order of time, without ties."""
    chance = random.Random(seed)
    time_ms = 1_600_000_000_000
    events = []
    for number in range(count):
        time_ms += chance.choice([1, 500, 20_000, HOUR_MS])
        events.append(
            {
                "transaction_id": f"t{number:03d}"[::-1],
                "card_id": f"card {chance.randrange(3)}",
                "terminal_id": f"terminal {chance.randrange(2)}",
                "event_time": time_ms,
                "amount_minor": chance.randrange(1, 10**6),
                "country": chance.choice(["DE", "FR", None]),
                "latitude": chance.choice([None, chance.uniform(-90, 90)]),
                "longitude": chance.choice([None, chance.uniform(-180, 180)]),
            }
        )
    return events


def label_of(transaction: Event, reported_ms: int) -> Event:
    """The label of a transaction, which is fraud."""
    named = ("transaction_id", "card_id", "terminal_id", "event_time")
    return {
        **{name: transaction[name] for name in named},
        "is_fraud": True,
        "reported_at": reported_ms,
    }


def reasons(parity: Parity, promise: str, view: str) -> dict[str, int]:
    """How many rows of a view differ by a promise, by reason."""
    (outcome,) = (
        one for one in parity.outcomes if (one.promise, one.state.view.name) == (promise, view)
    )
    return {str(reason): rows for reason, rows in outcome.reasons.items() if rows}


def lines(parity: Parity, promise: str) -> Sequence[dict[str, Any]]:
    """The differences of a promise."""
    return [line for line in parity.lines() if line["promise"] == promise]
