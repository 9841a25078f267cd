"""A version beside the one that is served: replayed, compared, promoted, taken back and dropped."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from threading import Thread

import pytest

from headrace_features.embedded import Service
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.services import control
from live_run import kill, until
from shops import (
    ACCEPTED,
    PURPOSELY,
    constant_reads,
    declare_second,
    ended,
    events_of,
    expected_at,
    listed,
    settings_of,
)
from streams import headrace, received, send_events


def hashes(shop: Path, home: Path, namespace: str) -> dict[str, str]:
    views = listed(shop, home, "--hash")[namespace]["views"]
    return {one["view"]: one["hash"] for one in views}


def compare_and_be_refused(shop: Path, home: Path) -> None:
    """Replay the second version, see in which features it differs, and that it isn't promoted."""
    early = headrace(home, "promote", "user_activity", "--version", "2", folder=shop, check=False)
    assert early.returncode == 78
    assert "unknown namespace 'user_activity-v2'" in early.stderr
    headrace(home, "replay", "user_activity", "--to-version", "2", folder=shop)
    assert listed(shop, home)[""]["serving"]
    compared = headrace(
        home, "parity", "user_activity", "--versions", "1,2", "--json", folder=shop, check=False
    )
    assert compared.returncode == 1, compared.stderr
    told = json.loads(compared.stdout)
    assert told["removed"] == [PURPOSELY[-1]]
    found = {one["feature"]: one for one in told["features"]}
    assert not any(one["unlike_batch"] or one["incomplete"] for one in found.values())
    unlike = {name for name, one in found.items() if one["unlike_first"]}
    assert "count_7d" in unlike
    assert unlike <= {*PURPOSELY}
    assert found["count_2h"]["unlike_first"] is None
    # What is gone has to be accepted as well.
    promote = ("promote", "user_activity", "--version", "2", *ACCEPTED[:-2])
    refused = headrace(home, *promote, folder=shop, check=False)
    assert (refused.returncode, listed(shop, home)[""]["serving"]) == (78, True)
    assert f"user_activity-v2 differs in user_activity:{PURPOSELY[-1]} " in refused.stderr


def both_are_warm(shop: Path, home: Path, newest_ms: int) -> None:
    """Each version has every event, whoever was served meanwhile; then one is dropped."""
    headrace(home, "promote", "user_activity", "--version", "2", *ACCEPTED, folder=shop)
    with constant_reads(shop, home, newest_ms) as seen:
        whole = expected_at(shop, newest_ms)
        until(lambda: seen[whole] > 0, f"{whole} is read, {seen}")
    served = headrace(home, "versions", "drop", "user_activity-v2", folder=shop, check=False)
    assert (served.returncode, "is the one that is served" in served.stderr) == (78, True)
    headrace(home, "versions", "drop", "(first)", folder=shop)
    assert list(listed(shop, home)) == ["user_activity-v2"]
    gone = headrace(home, "rollback", "user_activity", folder=shop, check=False)
    assert gone.returncode == 78
    stopped = headrace(home, "stream", "stop", folder=shop)
    assert "stopped" in stopped.stdout
    headrace(home, "stream", "deploy", folder=shop)
    assert listed(shop, home)["user_activity-v2"]["job"] == "RUNNING"


@pytest.mark.timeout(1_200)  # some twenty commands one after the other
def test_a_version_is_promoted_under_constant_reads_and_taken_back(shop: Path, home: Path) -> None:
    settings = settings_of(shop, home)
    config = kafka_config(settings)
    events = events_of(shop)
    half = len(events) // 2
    send_events(config, "activity", "user_id", events[:half])
    as_of_ms = events[half - 1]["event_time"]
    received(config, "decisions", half)
    first = expected_at(shop, as_of_ms)
    declare_second(shop)
    second = expected_at(shop, as_of_ms)
    assert first != second

    compare_and_be_refused(shop, home)
    with constant_reads(shop, home, as_of_ms) as seen:
        until(lambda: bool(seen), "something was read")
        promoted = Thread(
            target=headrace,
            args=(home, "promote", "user_activity", "--version", "2", *ACCEPTED),
            kwargs={"folder": shop},
        )
        promoted.start()
        # Events come all the time: whoever decides, each is decided once.
        sent = half
        while promoted.is_alive() and sent < len(events):
            send_events(config, "activity", "user_id", events[sent : sent + 5])
            sent += 5
            time.sleep(0.2)
        promoted.join()
        assert listed(shop, home)["user_activity-v2"]["serving"]
        until(lambda: seen[second] > 0, "the new version was read")
        send_events(config, "activity", "user_id", events[sent:])
        assert set(seen) == {first, second}
        back = headrace(home, "rollback", "user_activity", folder=shop)
        assert "Feast still has the definitions that were taken back" in back.stderr
        again = headrace(home, "rollback", "user_activity", folder=shop, check=False)
        assert (again.returncode, "no other version" in again.stderr) == (78, True)
        before = seen[first]
        until(lambda: seen[first] > before, "the former version was read again")
        assert set(seen) == {first, second}
    decided = Counter(
        json.loads(one.value() or b"")["id"] for one in received(config, "decisions", len(events))
    )
    assert decided == Counter(dict.fromkeys((one["event_id"] for one in events), 1))
    both_are_warm(shop, home, events[-1]["event_time"])


@pytest.mark.timeout(1_200)  # some twenty commands one after the other
def test_a_replay_that_is_killed_ends_like_one_that_is_not(shop: Path, home: Path) -> None:
    settings = settings_of(shop, home)
    config = kafka_config(settings)
    events = events_of(shop)
    send_events(config, "activity", "user_id", events)
    received(config, "decisions", len(events))
    declare_second(shop)
    replay = ("replay", "user_activity", "--to-version", "2")
    namespace = "user_activity-v2"
    headrace(home, *replay, folder=shop)
    wanted = hashes(shop, home, namespace)
    headrace(home, "versions", "drop", namespace, folder=shop)
    assert list(listed(shop, home)) == [""]

    chance = random.Random(int(os.environ.get("HEADRACE_KILL_SEED", "1")))
    for whole in (False, True, False):
        # Somewhere between its first look at the store and the state being all there.
        ended(shop, home, replay, chance.uniform(1, 15), whole=whole)
    headrace(home, *replay, "--detach", folder=shop)
    kill(home, Service.TASKMANAGER)
    control.up(home, {"HEADRACE_HOME": str(home)}, wanted=(Service.TASKMANAGER,))
    kill(home, Service.WRITER)
    headrace(home, "up", folder=shop)
    headrace(home, *replay, folder=shop)
    assert hashes(shop, home, namespace) == wanted
    # A cluster that was down has no jobs: all are deployed again.
    headrace(home, "stream", "stop", folder=shop)
    headrace(home, "down", folder=shop)
    headrace(home, "up", folder=shop)
    headrace(home, "stream", "deploy", folder=shop)
    assert {one["job"] for one in listed(shop, home).values()} == {"RUNNING"}
    assert hashes(shop, home, namespace) == wanted
    # What both versions mean alike has the same content in both.
    assert hashes(shop, home, "")["user_purchases"] == wanted["user_purchases"]
