"""A view comes back from its document as it was; what is no document of a view is refused."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from headrace_features import (
    Count,
    Entity,
    EventSource,
    FeatureView,
    First,
    Last,
    Max,
    Mean,
    Min,
    Quantile,
    Session,
    Sliding,
    StdDev,
    Sum,
    Tumbling,
    Unbounded,
    Variance,
    struct,
)
from headrace_features.definitions.fingerprint import fingerprint, meaning
from headrace_features.definitions.portable import from_portable, portable
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.events import Event
from histories import LATE, VIEWS_OF_DAYS, bits, view_of, view_with


class Visit(Event, frozen=True, kw_only=True):
    """An event about a number."""

    visit_id: str
    shop: int
    event_time: int
    Total: float
    returned: bool
    note: str | None = None


VISITS = EventSource(
    "visits",
    Visit,
    dedup_key="visit_id",
    topic="raw",
    table="lake.visits",
    owner="doors",
    tags={"kind": "events"},
)
#: A view of which nothing is left out.
WHOLE = FeatureView(
    name="visits_lately",
    version=7,
    entity=Entity("shop", "shop", "Where one goes.", owner="retail", tags={"b": "2", "a": "1"}),
    source=VISITS,
    aggregates=[
        Count([Sliding("60m", hop="5m", delay="1d"), Tumbling("1d", delay="2h")]),
        Last(struct("note", "returned"), [Session("30m", delay="1m")], exclude_current=True),
        Mean("twice", [Unbounded(delay="5ms")], default=2),
        Quantile("whole", q=0.999),
    ],
    filter="Total >= 0.5\n  AND NOT returned -- money's worth",
    derived={"whole": "1", "twice": "Total * 2"},
    description="What a shop sold: „ß“.",
    owner="shops",
    tags={"team": "shops", "b": "", "a": "1"},
)


def there_and_back(view: FeatureView) -> FeatureView:
    """The view made of what a file in JSON would hold of it."""
    document = portable(view)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    assert json.loads(text) == document
    found = from_portable(json.loads(text))
    assert found == from_portable(document)
    return found


def assert_same(found: FeatureView, view: FeatureView) -> None:
    assert (found.name, found.version, found.entity) == (view.name, view.version, view.entity)
    assert (fingerprint(found), meaning(found)) == (fingerprint(view), meaning(view))
    assert (found.features, found.feature_names) == (view.features, view.feature_names)
    assert (found.lookback_ms, found.input_columns) == (view.lookback_ms, view.input_columns)
    assert (found.filter, list(found.derived.items())) == (view.filter, list(view.derived.items()))
    assert found.aggregates == view.aggregates
    assert (found.description, found.owner, found.tags) == (
        view.description,
        view.owner,
        view.tags,
    )
    for name in ("name", "event_time", "dedup_key", "available_at", "topic", "table"):
        assert getattr(found.source, name) == getattr(view.source, name)
    for name in ("description", "owner", "tags"):
        assert getattr(found.source, name) == getattr(view.source, name)
    columns = [(one.name, one.type, one.nullable) for one in view.source.columns]
    assert [(one.name, one.type, one.nullable) for one in found.source.columns] == columns


VIEWS = {
    "every aggregate and window": view_of(LATE),
    "filter and derived columns": view_of(
        LATE, filter="small OR price IS NULL", derived={"small": "amount < 3", "again": "amount"}
    ),
    "whole": WHOLE,
    **{view.name: view for view in (card_activity, terminal_risk)},
    **VIEWS_OF_DAYS,
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_comes_back_as_it_was(name: str) -> None:
    assert_same(there_and_back(VIEWS[name]), VIEWS[name])


DEFAULTS: dict[str, Any] = {
    "an integer": Min("amount", default=-7),
    "the least integer": Max("amount", default=-(2**63)),
    "an integer for doubles": Mean("amount", default=0),
    "a double without a fraction": Variance("amount", default=1.0),
    "minus nothing": StdDev("price", default=-0.0),
    "a double of 17 digits": Max("price", default=0.1 + 0.2),
    "the least double": Min("price", default=5e-324),
    "an infinite double": Min("price", default=math.inf),
    "an empty text": First("place", default=""),
    "a text like a number": Last("place", default="1"),
    "a text of any letters": First("place", default='ß"\\\n\u2028\ud83d'),
    "false": Last("flag", default=False),
    "true": First("flag", default=True),
    "an integer of the quantile": Quantile("amount", q=0.5, default=0),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_default_keeps_its_value_and_type(name: str) -> None:
    view = view_with(DEFAULTS[name])
    found = there_and_back(view)
    (aggregate,), (before,) = found.aggregates, view.aggregates
    assert not isinstance(aggregate, Count)
    assert not isinstance(before, Count)
    assert bits(aggregate.default) == bits(before.default)
    assert bits(found.features[0].default) == bits(view.features[0].default)
    assert fingerprint(found) == fingerprint(view)


@pytest.mark.parametrize("q", [0.95, 0.999, 1, 1.0, 0.1 + 0.2, 1e-05])
def test_a_quantile_is_the_one_that_was_written(q: float) -> None:
    view = view_with(Quantile("amount", q=q))
    assert there_and_back(view).features == view.features


def test_the_class_of_events_has_the_columns_and_refuses_other_types() -> None:
    source = there_and_back(WHOLE).source
    row = b'{"visit_id":"a","shop":7,"event_time":1700000000000,"Total":0.5,"returned":false}'
    event = source.codec.decode(row)
    assert (getattr(event, "shop", None), getattr(event, "note", "")) == (7, None)
    with pytest.raises(BadRecordError, match="shop"):
        source.codec.decode(row.replace(b":7", b':"7"'))


def test_the_class_of_events_keeps_the_limits_of_the_contract() -> None:
    again = there_and_back(card_activity).source
    assert again.columns == card_activity.source.columns
    assert again.schema.__name__ == "Transaction"


def test_a_document_is_what_other_programs_may_read() -> None:
    view = FeatureView(
        "visits_of_shop",
        2,
        Entity("shop", "shop"),
        VISITS,
        [Sum("Total", [Sliding("1h")]), Last(struct("note", "shop"), [Session("30m")])],
        derived={"b": "shop", "a": "shop + 1"},
    )
    limits = ("minimum", "maximum", "min_length", "max_length", "pattern")
    unlimited = {**dict.fromkeys(limits), "role": "value"}
    assert portable(view) == {
        "format": 2,
        "name": "visits_of_shop",
        "version": 2,
        "entity": {
            "name": "shop",
            "join_key": "shop",
            "description": "",
            "owner": "",
            "tags": {},
        },
        "source": {
            "name": "visits",
            "schema": "Visit",
            "event_time": "event_time",
            "dedup_key": "visit_id",
            "available_at": None,
            "topic": "raw",
            "table": "lake.visits",
            "description": "",
            "columns": [
                {**unlimited, "name": "visit_id", "type": "string", "nullable": False},
                {**unlimited, "name": "shop", "type": "int64", "nullable": False},
                {**unlimited, "name": "event_time", "type": "int64", "nullable": False},
                {**unlimited, "name": "Total", "type": "float64", "nullable": False},
                {**unlimited, "name": "returned", "type": "bool", "nullable": False},
                {**unlimited, "name": "note", "type": "string", "nullable": True},
            ],
            "rules": [],
            "owner": "doors",
            "tags": {"kind": "events"},
        },
        "filter": None,
        "derived": [
            {"name": "b", "expression": "shop"},
            {"name": "a", "expression": "shop + 1"},
        ],
        "aggregates": [
            {
                "kind": "sum",
                "column": "Total",
                "windows": [{"kind": "sliding", "size": "1h", "hop": "1ms", "delay": "0ms"}],
                "exclude_current": False,
                "default": None,
                "q": None,
            },
            {
                "kind": "last",
                "column": ["note", "shop"],
                "windows": [{"kind": "session", "gap": "30m", "delay": "0ms"}],
                "exclude_current": False,
                "default": None,
                "q": None,
            },
        ],
        "description": "",
        "owner": "",
        "tags": {},
    }


def test_a_document_of_an_older_release_is_a_view_whose_entity_and_source_have_no_owner() -> None:
    document = portable(WHOLE) | {"format": 1}
    for part in ("entity", "source"):
        document[part] = {
            name: value for name, value in document[part].items() if name not in {"owner", "tags"}
        }
    found = from_portable(document)
    assert (found.entity.owner, found.source.owner, dict(found.source.tags)) == ("", "", {})
    assert fingerprint(found) == fingerprint(WHOLE)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is something in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in inner:
        yield (*path, key)
        if isinstance(below, dict | list):
            yield from places(below, (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any = ...) -> Any:
    """A document with something else at a place; without a value, nothing is there."""
    made = copy.deepcopy(document)
    at = made
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return made


def refusal(document: Any) -> str | None:
    """The line with which a document is refused, if it is."""
    try:
        from_portable(document)
    except ConfigurationError as error:
        return str(error) if error.hint else "no hint"
    return None


def test_whatever_is_damaged_is_refused_in_one_line_or_still_a_view() -> None:
    document = portable(WHOLE)
    values: tuple[Any, ...] = (
        None,
        "",
        "ß x",
        "9w",
        "__class__",
        -1,
        0,
        1.5,
        True,
        [],
        {},
        [None],
        {"kind": ""},
    )
    found = list(places(document))
    assert len(found) > 100
    for path in found:
        # Documents from before there were rules are read.
        optional = "tags" in path or path[1:] in {("owner",), ("rules",)}
        if not optional and all(isinstance(key, str) for key in path):
            told = refusal(changed(document, path))
            assert told, path
            assert str(path[-1]) in told
        for value in values:
            told = refusal(changed(document, path, value))
            assert told is None or told.startswith("the definition of a feature view"), path


DAMAGED: dict[str, tuple[Any, str]] = {
    "no object": ([], "Expected `object`, got `array`"),
    "empty": ({}, "missing required field `format`"),
    "a newer format": (portable(WHOLE) | {"format": 3}, "has the format 3, expected 2"),
    "an unknown field": (portable(WHOLE) | {"ttl": 1}, "unknown field `ttl`"),
    "a version that is a text": (portable(WHOLE) | {"version": "7"}, r"Expected `int`.*version"),
    "an expression that is none": (portable(WHOLE) | {"filter": "Total >"}, "'visits_lately'"),
    "no aggregates": (portable(WHOLE) | {"aggregates": []}, "has no aggregates"),
    "a column twice": (
        changed(portable(WHOLE), ("source", "columns", 0, "name"), "shop"),
        "two columns have one name",
    ),
    "a column that no class can have": (
        changed(portable(WHOLE), ("source", "columns", 5, "name"), "a b"),
        "matching regex",
    ),
    "a derived column twice": (
        changed(portable(WHOLE), ("derived", 0, "name"), "twice"),
        "two derived columns have one name",
    ),
    "an unknown aggregate": (
        changed(portable(WHOLE), ("aggregates", 0, "kind"), "median"),
        "Invalid enum value 'median'",
    ),
    "an unknown window": (
        changed(portable(WHOLE), ("aggregates", 0, "windows", 0, "kind"), "hopping"),
        "Invalid value 'hopping'",
    ),
    "a count of a column": (
        changed(portable(WHOLE), ("aggregates", 0, "column"), "note"),
        "count takes no column",
    ),
    "a mean of nothing": (
        changed(portable(WHOLE), ("aggregates", 2, "column"), None),
        "mean lacks its column",
    ),
    "a quantile without its q": (
        changed(portable(WHOLE), ("aggregates", 3, "q"), None),
        "quantile lacks its q",
    ),
    "a hop that doesn't divide": (
        changed(portable(WHOLE), ("aggregates", 0, "windows", 0, "hop"), "7m"),
        "does not divide",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_document_is_refused_with_what_is_wrong(name: str) -> None:
    document, told = DAMAGED[name]
    with pytest.raises(ConfigurationError, match=told):
        from_portable(document)
    assert str(refusal(document)).endswith((" use that one)", " declares the view)"))


def test_views_without_their_code_are_equal_where_their_documents_are() -> None:
    one, same = from_portable(portable(WHOLE)), from_portable(portable(WHOLE))
    assert one == same
    assert hash(one) == hash(same)
    assert one != from_portable(portable(WHOLE) | {"version": 8})
    assert one.source.schema is not WHOLE.source.schema
