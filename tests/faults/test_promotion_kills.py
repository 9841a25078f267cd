"""Promotions and their taking back are killed anywhere, under constant traffic, and run again."""

from __future__ import annotations

import json
import os
import random
import runpy
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from confluent_kafka import Producer

from headrace_features import oracle
from headrace_features.oracle import SpineRow
from headrace_streaming.kafka.clients import kafka_config
from histories import bits
from live_run import until
from shops import (
    ACCEPTED,
    constant_reads,
    declare_second,
    deployed_shop,
    ended,
    events_of,
    expected_at,
    listed,
    settings_of,
)
from streams import headrace, received, send_events

SEED = int(os.environ.get("HEADRACE_KILL_SEED", "1"))
#: How long after they began a promotion, a rollback and so on are killed, between two bounds.
BETWEEN_S = ((5, 13), (4, 9), (13, 25), (9, 16))
NAMESPACE = "user_activity-v2"
PROMOTE = ("promote", "user_activity", "--version", "2", *ACCEPTED)
ROLLBACK = ("rollback", "user_activity")
EVERY_S = 0.1
RULES = """
from headrace_features import Decisions, Rule

visits = Decisions(
    "visits",
    source=activity,
    service=recommender,
    rules=[
        Rule("always", "action <> 'none'"),
        Rule("busy", "user_activity__count_1h >= 10"),
    ],
)
"""


@pytest.fixture
def shop(tmp_path: Path, home: Path) -> Path:
    """A project that alerts of every event, and whose stream runs."""
    return deployed_shop(tmp_path, home, RULES)


@contextmanager
def traffic(config: Mapping[str, str], users: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Events that come all the time, and are in the list once the broker has them."""
    sent: list[dict[str, Any]] = []
    done, chance = Event(), random.Random(SEED)
    producer = Producer({**config, "partitioner": "murmur2_random", "linger.ms": 0})

    def send() -> None:
        while not done.wait(EVERY_S):
            user = chance.choice(users)
            event = {
                "event_id": f"live-{len(sent)}",
                "user_id": user,
                "event_time": time.time_ns() // 1_000_000,
                "action": chance.choice(["view", "cart", "purchase"]),
                "item_id": f"item-{chance.randrange(9)}",
                "amount_minor": chance.randrange(1_000),
            }
            producer.produce("activity", json.dumps(event).encode(), user.encode())
            if producer.flush(30) == 0:
                sent.append(event)

    thread = Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        done.set()
        thread.join()


def views_of(shop: Path) -> list[Any]:
    """The views as they are declared now."""
    declared = runpy.run_path(str(shop / "shop_definitions.py"))
    return [declared["user_activity"], declared["user_purchases"]]


def require_either(
    decided: list[dict[str, Any]], events: list[dict[str, Any]], versions: list[list[Any]]
) -> None:
    """See that each decision has the values of one of the versions, and of no mixture."""
    values: dict[str, set[str]] = defaultdict(set)
    for views in versions:
        mine: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for event in events:
            known = mine[event["user_id"]]
            known.append({"amount_minor": None, **event})
            row = SpineRow(event["user_id"], event["event_time"], event["event_id"])
            values[event["event_id"]].add(
                spelled(
                    {
                        f"{view.name}__{name}": value
                        for view in views
                        for name, value in oracle.values(view, known, [row])[0].items()
                    }
                )
            )
    for one in decided:
        assert spelled(one["features"]) in values[one["id"]], one


def spelled(values: Mapping[str, Any]) -> str:
    """Values in a form where equal means the same bits."""
    return json.dumps({name: bits(value) for name, value in values.items()}, sort_keys=True)


@pytest.mark.timeout(1_800)  # eight long commands one after the other
def test_a_promotion_that_is_killed_anywhere_ends_promoted_when_it_is_run_again(
    shop: Path, home: Path
) -> None:
    config = kafka_config(settings_of(shop, home))
    chance = random.Random(SEED)
    before = events_of(shop)
    send_events(config, "activity", "user_id", before)
    received(config, "decisions", len(before))
    as_of_ms = before[-1]["event_time"]
    first, versions = expected_at(shop, as_of_ms), [views_of(shop)]
    declare_second(shop)
    second = expected_at(shop, as_of_ms)
    versions.append(views_of(shop))
    headrace(home, "replay", "user_activity", "--to-version", "2", folder=shop)
    users = sorted({one["user_id"] for one in before})[:8]
    with constant_reads(shop, home, as_of_ms) as seen, traffic(config, users) as sent:
        for number, (earliest_s, latest_s) in enumerate(BETWEEN_S):
            command, serving = ((PROMOTE, NAMESPACE), (ROLLBACK, ""))[number % 2]
            after_s = chance.uniform(earliest_s, latest_s)
            if ended(shop, home, command, after_s, whole=number % 4 > 1) != 0:
                headrace(home, *command, folder=shop)
            now = listed(shop, home)
            assert now[serving]["serving"]
            assert {one["job"] for one in now.values()} == {"RUNNING"}
        until(lambda: seen[second] > 0 and seen[first] > 0, "both versions were read")
    events = before + sent
    decided = [json.loads(one.value() or b"") for one in received(config, "decisions", len(events))]
    assert Counter(one["id"] for one in decided) == Counter(one["event_id"] for one in events)
    require_either(decided, events, versions)
    assert set(seen) == {first, second}
    last = {
        one["id"]: one
        for message in received(config, "alerts", len(events))
        for one in [json.loads(message.value() or b"")]
    }
    assert last == {one["id"]: {**one, "retracted": False} for one in decided}
