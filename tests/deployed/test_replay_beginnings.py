"""A replay begins with the lake, or at a time, and goes on without a gap and nothing twice."""

from __future__ import annotations

import json
import runpy
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from headrace_features import oracle
from headrace_features.online.served import Query, ServedView, ViewQuery
from headrace_features.online.serving import Server
from headrace_features.online.stores import open_store
from headrace_features.online.versions import read_versions
from headrace_features.oracle import SpineRow
from headrace_features.portable_project import project_from
from headrace_schemas.settings import Settings
from headrace_schemas.topics import topic_apart
from headrace_streaming.kafka.clients import kafka_config
from live_run import until
from shops import declare_second, settings_of
from streams import delete_half, headrace, received

NAMESPACE = "user_activity-v2"
REPLAY = ("replay", "user_activity", "--to-version", "2")
USERS = ("ann", "bob", "eve")
MINUTE_MS = 60_000


@dataclass(frozen=True)
class Told:
    """A value of a namespace, and whether events may be missing in it."""

    value: Any
    incomplete: bool


def events_between(first_ms: int, last_ms: int, step_ms: int) -> list[dict[str, Any]]:
    """What users do from one time to another, one after the other."""
    return [
        {
            "event_id": f"e-{at_ms}",
            "user_id": USERS[number % len(USERS)],
            "event_time": at_ms,
            "action": ("view", "cart", "purchase", "cart")[number % 4],
            "item_id": f"item-{number % 5}",
            "amount_minor": number,
        }
        for number, at_ms in enumerate(range(first_ms, last_ms, step_ms))
    ]


def send_as_they_happened(config: Mapping[str, str], events: Sequence[Mapping[str, Any]]) -> None:
    """Put events into their topic as if each had been sent when it happened."""
    producer = Producer({**config, "partitioner": "murmur2_random", "enable.idempotence": True})
    for event in events:
        value, key = json.dumps(event).encode(), event["user_id"].encode()
        producer.produce("activity", value, key, timestamp=event["event_time"])
    assert producer.flush(30) == 0


def kept(settings: Settings, as_of_ms: int) -> dict[tuple[str, str], Told]:
    """What the replayed version says of each user, by user and feature."""
    store = open_store(settings)
    _, versions = read_versions(store)
    view = project_from(versions.namespaces[NAMESPACE]).views["user_activity"]
    queries = [Query(user, as_of_ms) for user in USERS]
    asked = ViewQuery(ServedView(view, view.feature_names), queries)
    (answer,) = Server(store, as_given=True).read([asked])
    missing = [False] * len(view.feature_names)
    return {
        (user, name): Told(value, lacks)
        for user, one in zip(USERS, answer.answers, strict=True)
        for name, value, lacks in zip(
            view.feature_names, one.values, one.incomplete or missing, strict=True
        )
    }


def by_oracle(
    shop: Path, events: Sequence[Mapping[str, Any]], as_of_ms: int
) -> dict[tuple[str, str], Any]:
    """What the declared version is of some events."""
    view = runpy.run_path(str(shop / "shop_definitions.py"))["user_activity"]
    return {
        (user, name): value
        for user in USERS
        for name, value in oracle.values(
            view,
            [dict(one) for one in events if one["user_id"] == user],
            [SpineRow(user, as_of_ms)],
        )[0].items()
    }


def require_decided(config: Mapping[str, str], events: Sequence[Mapping[str, Any]]) -> None:
    """See that the job that goes on apart has decided these events, each once, and no other."""
    topic = topic_apart("decisions", "shop", NAMESPACE)
    found = [json.loads(one.value() or b"") for one in received(config, topic, len(events))]
    assert Counter(one["id"] for one in found) == Counter(one["event_id"] for one in events)


def replayed_meanwhile(
    shop: Path, home: Path, since: str, during: Sequence[Mapping[str, Any]]
) -> str:
    """Replay while events come; what is said about its beginning."""
    begun = headrace(home, *REPLAY, "--from", since, "--detach", folder=shop)
    send_as_they_happened(kafka_config(settings_of(shop, home)), during)
    headrace(home, *REPLAY, "--from", since, folder=shop)
    return begun.stderr


def until_known(settings: Settings, as_of_ms: int, wanted: Mapping[tuple[str, str], Any]) -> None:
    """Wait until values are online that only the newest events make."""
    until(
        lambda: {key: one.value for key, one in kept(settings, as_of_ms).items()} == wanted,
        "the newest events are online",
    )


@pytest.mark.timeout(900)  # some fifteen commands one after the other
def test_a_replay_begins_at_a_time_or_with_the_lake_and_goes_on_with_what_comes(
    shop: Path, home: Path
) -> None:
    with (shop / "headrace.toml").open("a") as place:
        place.write('\n[project.modes]\nuser_activity = "kappa"\nuser_purchases = "kappa"\n')
    settings = settings_of(shop, home)
    config = kafka_config(settings)
    now_ms = time.time_ns() // 1_000_000_000 * 1_000
    since_ms = now_ms - 150 * MINUTE_MS
    before = events_between(since_ms - 24 * 60 * MINUTE_MS, since_ms, 9 * MINUTE_MS)
    then = events_between(since_ms, now_ms - 40 * MINUTE_MS, MINUTE_MS)
    during = events_between(now_ms - 40 * MINUTE_MS, now_ms - 30 * MINUTE_MS, MINUTE_MS // 2)
    after = events_between(now_ms - 30 * MINUTE_MS, now_ms - 20 * MINUTE_MS, MINUTE_MS // 2)
    declare_second(shop)

    # From a time on: what was sent since, and a word about what windows may lack.
    send_as_they_happened(config, [*before, *then])
    since_text = datetime.fromtimestamp(since_ms // 1_000, UTC).isoformat()
    replayed_meanwhile(shop, home, since_text, during)
    send_as_they_happened(config, after)
    require_decided(config, [*then, *during, *after])
    as_of_ms = after[-1]["event_time"]
    since = by_oracle(shop, [*then, *during, *after], as_of_ms)
    until_known(settings, as_of_ms, since)
    every = by_oracle(shop, [*before, *then, *during, *after], as_of_ms)
    told = kept(settings, as_of_ms)
    assert all(one.incomplete or one.value == every[key] for key, one in told.items())
    lacking = {name for (_, name), one in told.items() if one.incomplete}
    assert {"count_1d", "count_7d"} <= lacking
    assert not {"count_1h", "count_2h"} & lacking
    headrace(home, "versions", "drop", NAMESPACE, folder=shop)

    # From the lake, as the broker has deleted some of what that has, and on where its tables end.
    headrace(home, "ingest", "--from-kafka", folder=shop)
    assert delete_half(config, "activity")
    later = events_between(now_ms - 20 * MINUTE_MS, now_ms - 15 * MINUTE_MS, MINUTE_MS // 2)
    last = events_between(now_ms - 15 * MINUTE_MS, now_ms - 10 * MINUTE_MS, MINUTE_MS // 2)
    newest = events_between(now_ms - 10 * MINUTE_MS, now_ms - 5 * MINUTE_MS, MINUTE_MS // 2)
    send_as_they_happened(config, later)
    begun = replayed_meanwhile(shop, home, "earliest", last)
    assert "the broker has deleted events of activity: the lake's come first" in begun
    send_as_they_happened(config, newest)
    require_decided(config, [*later, *last, *newest])
    as_of_ms = newest[-1]["event_time"]
    whole = [*before, *then, *during, *after, *later, *last, *newest]
    until_known(settings, as_of_ms, by_oracle(shop, whole, as_of_ms))
    assert not any(one.incomplete for one in kept(settings, as_of_ms).values())
