"""Applied beside a stream, new definitions are made next to those that are served."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from headrace_features.feast_plugin.registry_file import registered_views
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_features.online.versions import read_versions
from headrace_features.portable_project import project_from
from headrace_streaming.kafka.clients import kafka_config
from shops import PURPOSELY, USER, declare_second, events_of, listed, settings_of
from streams import headrace, received, send_events

NAMESPACE = "carts-v1"
REPLAY = "headrace replay carts --to-version 1"

CARTS = """
carts = FeatureView(
    name="carts",
    version=1,
    entity=user,
    source=activity,
    filter="action = 'cart'",
    aggregates=[Count(windows=[Sliding("7d")])],
)
"""


def told(shop: Path, home: Path, command: str) -> dict[str, dict[str, Any]]:
    answer = json.loads(headrace(home, command, "--json", folder=shop).stdout)
    return {one["view"]: one for one in answer if "view" in one}


def registered(shop: Path, home: Path) -> dict[str, int]:
    found = registered_views(settings_of(shop, home).feast.registry, "shop")
    return {name: one.version for name, one in found.items()}


def layers_in(shop: Path, home: Path, namespace: str) -> dict[str, tuple[bool, bool]]:
    """By view whether a namespace has a batch layer of it, and one of the stream."""
    store = open_store(settings_of(shop, home))
    _, versions = read_versions(store)
    views = project_from(versions.namespaces[namespace]).views
    layers = layers_of(store, [view_key(view) for view in views.values()])
    return {
        name: (layers[view_key(view)].batch is not None, layers[view_key(view)].stream is not None)
        for name, view in views.items()
    }


@pytest.mark.timeout(900)  # some fifteen commands one after the other
def test_apply_replays_once_for_all_views_and_what_is_promoted_is_registered(
    shop: Path, home: Path
) -> None:
    config = kafka_config(settings_of(shop, home))
    events = events_of(shop)
    send_events(config, "activity", "user_id", events)
    received(config, "decisions", len(events))
    headrace(home, "ingest", "--from-kafka", folder=shop)
    # The stream that runs has these views as they are declared.
    assert {
        name: one["done"] for name, one in told(shop, home, "apply").items() if one["done"]
    } == {}
    declare_second(shop)
    with (shop / "shop_definitions.py").open("a") as place:
        place.write(CARTS)

    planned = told(shop, home, "plan")
    for view in ("carts", "user_activity"):
        (needed,) = planned[view]["to_do"]
        assert (needed["command"], needed["events"]) == (REPLAY, len(events))
    assert planned["user_purchases"]["to_do"] == []
    done = told(shop, home, "apply")
    (made,) = done["carts"]["done"]
    assert (made["command"], made["events"]) == (REPLAY, len(events))
    assert done["carts"]["next"] == [
        "headrace parity user_activity --versions 1,2",
        "headrace promote carts --version 1",
    ]
    assert registered(shop, home) == {"basket": 1, "user_activity": 1, "user_purchases": 1}
    assert set(listed(shop, home)) == {"", NAMESPACE}
    assert set(layers_in(shop, home, NAMESPACE).values()) == {(True, True)}
    # One that is repeated finds what there is.
    told(shop, home, "apply")
    assert set(listed(shop, home)) == {"", NAMESPACE}

    # All views of the namespace would be served, whichever is named.
    promote = ("promote", "carts", "--version", "1")
    refused = headrace(home, *promote, folder=shop, check=False)
    assert refused.returncode == 78
    assert "user_activity:count_7d" in refused.stderr
    assert listed(shop, home)[""]["serving"]
    accepted = (("--accept", f"user_activity:{name}") for name in PURPOSELY)
    headrace(home, *promote, *chain.from_iterable(accepted), folder=shop)
    assert registered(shop, home) == {
        "basket": 1,
        "user_activity": 2,
        "carts": 1,
        "user_purchases": 1,
    }
    assert {
        name: one["to_do"] for name, one in told(shop, home, "plan").items() if one["to_do"]
    } == {}
    newest_ms = [one for one in events if one["user_id"] == USER][-1]["event_time"]
    week_ms = newest_ms - 7 * 86_400_000
    carts = [
        one
        for one in events
        if one["user_id"] == USER
        and one["action"] == "cart"
        and week_ms < one["event_time"] <= newest_ms
    ]
    asked = ("--feature", "carts", "--entity", f"user_id={USER}", "--as-of", str(newest_ms))
    answer = json.loads(headrace(home, "features", "get", *asked, "--json", folder=shop).stdout)
    assert answer["features"] == {"carts__count_7d": len(carts)}
    assert answer["statuses"] == {"carts__count_7d": "PRESENT"}
