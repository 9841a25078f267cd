"""The fingerprint of a view changes with its meaning, and with nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from headrace_features import (
    Count,
    Distinct,
    Entity,
    EventSource,
    FeatureView,
    First,
    Last,
    Mean,
    Quantile,
    Session,
    Sliding,
    Sum,
    Tumbling,
    Unbounded,
    struct,
)
from headrace_features.definitions.fingerprint import fingerprint, meaning
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_schemas.events import Event
from histories import Reading


class WiderReading(Event, frozen=True, kw_only=True):
    """A reading with one column more, in another order."""

    known_at: int
    event_time: int
    sensor: str
    reading_id: str
    flag: bool | None = None
    place: str | None = None
    price: float | None = None
    amount: int | None = None
    note: str | None = None


class RetypedReading(Event, frozen=True, kw_only=True):
    """A reading whose amount has a fraction."""

    reading_id: str
    sensor: str
    event_time: int
    known_at: int
    amount: float | None = None
    price: float | None = None
    place: str | None = None
    flag: bool | None = None


class OtherwiseKeyed(Event, frozen=True, kw_only=True):
    """A reading with a second possible key and a second time."""

    reading_id: str
    second_id: str
    sensor: str
    room: str
    event_time: int
    second_time: int
    known_at: int
    amount: int | None = None
    price: float | None = None
    place: str | None = None
    flag: bool | None = None


def source(schema: type[msgspec.Struct] = Reading, **changes: Any) -> EventSource:
    declared: dict[str, Any] = {"dedup_key": "reading_id", "available_at": "known_at"}
    name = changes.pop("name", "readings")
    return EventSource(name, schema, **(declared | changes))


AGGREGATES: dict[str, Any] = {
    "count": Count(windows=[Sliding("1h"), Session("30m")]),
    "sum": Sum("amount", windows=[Sliding("1d", hop="1h", delay="6h")]),
    "mean": Mean("twice", windows=[Tumbling("1d")], default=0),
    "last": Last(struct("place", "price"), exclude_current=True),
    "quantile": Quantile("amount", q=0.95),
}


def view(
    changed: dict[str, Any] | None = None,
    *,
    without: str = "",
    reverse: bool = False,
    **changes: Any,
) -> FeatureView:
    """A view that uses everything, with some of it changed."""
    aggregates = [a for n, a in (AGGREGATES | (changed or {})).items() if n != without]
    declared: dict[str, Any] = {
        "name": "readings_lately",
        "version": 1,
        "entity": Entity("sensor", join_key="sensor"),
        "source": source(),
        "aggregates": aggregates[::-1] if reverse else aggregates,
        "filter": "amount > 0 OR flag",
        "derived": {"twice": "amount * 2"},
    }
    return FeatureView(**(declared | changes))


SAME_MEANING: dict[str, Callable[[], FeatureView]] = {
    "another name": lambda: view(name="readings_of_late"),
    "another version": lambda: view(version=2),
    "an owner": lambda: view(owner="sensors"),
    "a description": lambda: view(description="What a sensor read."),
    "tags": lambda: view(tags={"team": "sensors"}),
    "the entity's name and description": lambda: view(
        entity=Entity("device", join_key="sensor", description="A device.")
    ),
    "owner and tags of entity and source": lambda: view(
        entity=Entity("sensor", "sensor", owner="devices", tags={"team": "a"}),
        source=source(owner="devices", tags={"team": "a"}),
    ),
    "where the source's events live": lambda: view(
        source=source(topic="raw", table="lake.readings", description="Readings.")
    ),
    "a column that is not read, and the order of columns": lambda: view(
        source=source(WiderReading)
    ),
    "the order of aggregates": lambda: view(reverse=True),
    "the order of windows": lambda: view({"count": Count(windows=[Session("30m"), Sliding("1h")])}),
    "the order of a struct": lambda: view(
        {"last": Last(struct("price", "place"), exclude_current=True)}
    ),
    "a struct taken apart": lambda: view(
        {
            "last": Last("price", exclude_current=True),
            "place": Last("place", exclude_current=True),
        }
    ),
    "another spelling of durations": lambda: view(
        {
            "count": Count(windows=[Sliding("60m"), Session("1800s")]),
            "sum": Sum("amount", windows=[Sliding("24h", hop="3600000ms", delay="360m")]),
            "mean": Mean("twice", windows=[Tumbling("1440m")], default=0.0),
        }
    ),
    "spaces and brackets": lambda: view(
        filter="  (amount>0)\n  or (flag) -- either", derived={"twice": "( amount*2 )"}
    ),
    "another spelling of unequal": lambda: view(filter="amount > 0 OR (flag)"),
}


@pytest.mark.parametrize("edit", SAME_MEANING)
def test_the_fingerprint_stays_with(edit: str) -> None:
    assert fingerprint(SAME_MEANING[edit]()) == fingerprint(view())


OTHER_MEANING: dict[str, Callable[[], FeatureView]] = {
    "the base": view,
    "a longer window": lambda: view({"count": Count(windows=[Sliding("2h"), Session("30m")])}),
    "another gap": lambda: view({"count": Count(windows=[Sliding("1h"), Session("31m")])}),
    "one window less": lambda: view({"count": Count(windows=[Sliding("1h")])}),
    "one window more": lambda: view(
        {"count": Count(windows=[Sliding("1h"), Session("30m"), Unbounded()])}
    ),
    "another hop": lambda: view(
        {"sum": Sum("amount", windows=[Sliding("1d", hop="30m", delay="6h")])}
    ),
    "no hop": lambda: view({"sum": Sum("amount", windows=[Sliding("1d", delay="6h")])}),
    "another delay": lambda: view(
        {"sum": Sum("amount", windows=[Sliding("1d", hop="1h", delay="7h")])}
    ),
    "no delay": lambda: view({"sum": Sum("amount", windows=[Sliding("1d", hop="1h")])}),
    "tumbling instead of sliding": lambda: view(
        {"mean": Mean("twice", windows=[Sliding("1d")], default=0)}
    ),
    "another default": lambda: view({"mean": Mean("twice", windows=[Tumbling("1d")], default=0.5)}),
    "no default": lambda: view({"mean": Mean("twice", windows=[Tumbling("1d")])}),
    "another column": lambda: view(
        {"sum": Sum("price", windows=[Sliding("1d", hop="1h", delay="6h")])}
    ),
    "another aggregate": lambda: view(
        {"sum": Mean("amount", windows=[Sliding("1d", hop="1h", delay="6h")])}
    ),
    "first instead of last": lambda: view(
        {"last": First(struct("place", "price"), exclude_current=True)}
    ),
    "with the event being decided": lambda: view({"last": Last(struct("place", "price"))}),
    "one column less of a struct": lambda: view({"last": Last("place", exclude_current=True)}),
    "another quantile": lambda: view({"quantile": Quantile("amount", q=0.951)}),
    "one aggregate less": lambda: view(without="quantile"),
    "one aggregate more": lambda: view({"more": Distinct("place")}),
    "no filter": lambda: view(filter=None),
    "another constant": lambda: view(filter="amount > 1 OR flag"),
    "another comparison": lambda: view(filter="amount >= 0 OR flag"),
    "another connective": lambda: view(filter="amount > 0 AND flag"),
    "a constant of another type": lambda: view(filter="amount > 0.0 OR flag"),
    "a null instead of a value": lambda: view(filter="amount > 0 OR NULL"),
    "another derivation": lambda: view(derived={"twice": "amount + amount"}),
    "a derivation more": lambda: view(derived={"twice": "amount * 2", "thrice": "amount * 3"}),
    "another join key": lambda: view(
        source=source(OtherwiseKeyed), entity=Entity("room", join_key="room")
    ),
    "another dedup key": lambda: view(source=source(OtherwiseKeyed, dedup_key="second_id")),
    "another event time": lambda: view(source=source(OtherwiseKeyed, event_time="second_time")),
    "known at once": lambda: view(source=source(available_at=None)),
    "another source": lambda: view(source=source(name="measurements")),
    "another type of a column": lambda: view({"quantile": Count()}, source=source(RetypedReading)),
}


def test_every_edit_of_the_meaning_has_a_fingerprint_of_its_own() -> None:
    seen: dict[str, str] = {}
    for edit, declare in OTHER_MEANING.items():
        found = fingerprint(declare())
        assert found not in seen, f"{edit} has the fingerprint of {seen.get(found)}"
        seen[found] = edit


def test_the_fingerprint_of_the_built_in_views_stays_the_same_from_release_to_release() -> None:
    assert {v.name: fingerprint(v) for v in (card_activity, terminal_risk)} == {
        "card_activity": "4f2faf9121f5583e6aabac059295dd04",
        "terminal_risk": "8db6874778c59527daa56765bd1d84b4",
    }


def test_a_meaning_is_plain_data_that_names_every_feature() -> None:
    described = meaning(view())
    assert json.loads(json.dumps(described)) == described
    assert sorted(described["features"]) == sorted(view().feature_names)
    assert described["features"]["amount_sum_1d_hop_1h_delayed_6h"] == {
        "aggregate": "sum",
        "column": "amount",
        "type": "int64",
        "window": {"sliding": "1d", "hop": "1h", "delay": "6h"},
    }
    assert described["source"] == {
        "name": "readings",
        "event_time": "event_time",
        "dedup_key": "reading_id",
        "available_at": "known_at",
        "columns": {
            "amount": "int64",
            "event_time": "int64",
            "flag": "bool",
            "known_at": "int64",
            "place": "string",
            "price": "float64",
            "reading_id": "string",
            "sensor": "string",
        },
    }
