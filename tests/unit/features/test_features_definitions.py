"""Declarations: the one rule of names, what is refused, and values that are equal by meaning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from headrace_features import (
    ApproxDistinct,
    Count,
    Distinct,
    Entity,
    EventSource,
    FeatureService,
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
from headrace_features.definitions.durations import (
    canonical,
    floor_to,
    format_duration,
    parse_duration,
)
from headrace_features.fraud.definitions import card_activity, fraud, terminal_risk
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import ConfigurationError
from histories import PROMPT, SENSOR, Reading

HOUR = [Sliding("1h")]


def view(*aggregates: Any, **changes: Any) -> FeatureView:
    declared: dict[str, Any] = {
        "name": "readings_lately",
        "version": 1,
        "entity": SENSOR,
        "source": PROMPT,
        "aggregates": aggregates or [Count()],
    }
    return FeatureView(**(declared | changes))


NAMES: tuple[tuple[Any, list[str]], ...] = (
    (Count(windows=[Sliding("1d")]), ["count_1d"]),
    (Count(windows=[Sliding("24h"), Sliding("90s")]), ["count_1d", "count_90s"]),
    (Count(), ["count"]),
    (Count(windows=[Unbounded(delay="7d")]), ["count_delayed_7d"]),
    (Count(windows=[Sliding("1d")], exclude_current=True), ["count_1d_excluding_current"]),
    (Mean("amount", windows=[Sliding("7d")]), ["amount_mean_7d"]),
    (Mean("flag", windows=[Sliding("30d", delay="1w")]), ["flag_mean_30d_delayed_7d"]),
    (Sum("amount", windows=[Sliding("1d", hop="60m")]), ["amount_sum_1d_hop_1h"]),
    (
        Sum("amount", windows=[Sliding("1d", hop="5m", delay="2h")]),
        ["amount_sum_1d_hop_5m_delayed_2h"],
    ),
    (Min("price", windows=[Tumbling("1d")]), ["price_min_tumbling_1d"]),
    (Max("price", windows=[Session("30m")]), ["price_max_session_30m"]),
    (Variance("amount"), ["amount_variance"]),
    (StdDev("amount"), ["amount_stddev"]),
    (Distinct("place", windows=HOUR), ["place_distinct_1h"]),
    (ApproxDistinct("place", windows=HOUR), ["place_approx_distinct_1h"]),
    (First("place", windows=HOUR), ["place_first_1h"]),
    (
        Last(struct("price", "place"), windows=[Sliding("1h"), Sliding("1d")]),
        ["price_last_1h", "place_last_1h", "price_last_1d", "place_last_1d"],
    ),
    (Quantile("amount", windows=HOUR), ["amount_p50_1h"]),
    (Quantile("amount", q=0.95), ["amount_p95"]),
    (Quantile("amount", q=0.999), ["amount_p99_9"]),
    (Quantile("amount", q=1), ["amount_p100"]),
    (Quantile("amount", q=1e-07), ["amount_p0_00001"]),
    (Quantile("amount", q=0.9999999), ["amount_p99_99999"]),
)


@pytest.mark.parametrize(("aggregate", "names"), NAMES, ids=lambda value: str(value)[:60])
def test_a_feature_is_named_by_column_aggregate_window_and_what_is_left_out(
    aggregate: Any, names: list[str]
) -> None:
    assert list(view(aggregate).feature_names) == names


def test_the_published_names_of_the_fraud_features_stay_as_they_are() -> None:
    assert card_activity.feature_names == (
        "count_1m",
        "count_1h",
        "count_1d",
        "count_7d",
        "count_30d",
        "amount_minor_mean_1d",
        "amount_minor_mean_7d",
        "amount_minor_mean_30d",
        "amount_minor_stddev_30d",
        "country_distinct_1d",
        "latitude_last_30d_excluding_current",
        "longitude_last_30d_excluding_current",
        "event_time_last_30d_excluding_current",
    )
    assert terminal_risk.feature_names == (
        "count_1d_delayed_7d",
        "count_7d_delayed_7d",
        "count_30d_delayed_7d",
        "is_fraud_mean_1d_delayed_7d",
        "is_fraud_mean_7d_delayed_7d",
        "is_fraud_mean_30d_delayed_7d",
    )


TYPES: tuple[tuple[Any, ColumnType], ...] = (
    (Count(), ColumnType.INT64),
    (Sum("amount"), ColumnType.INT64),
    (Sum("price"), ColumnType.FLOAT64),
    (Sum("flag"), ColumnType.INT64),
    (Mean("amount"), ColumnType.FLOAT64),
    (Min("amount"), ColumnType.INT64),
    (Max("price"), ColumnType.FLOAT64),
    (Variance("flag"), ColumnType.FLOAT64),
    (StdDev("price"), ColumnType.FLOAT64),
    (Distinct("flag"), ColumnType.INT64),
    (ApproxDistinct("place"), ColumnType.FLOAT64),
    (First("place"), ColumnType.STRING),
    (Last("flag"), ColumnType.BOOL),
    (Quantile("amount"), ColumnType.INT64),
)


@pytest.mark.parametrize(("aggregate", "kind"), TYPES, ids=lambda value: str(value)[:40])
def test_the_type_of_a_feature_follows_from_its_aggregate_and_column(
    aggregate: Any, kind: ColumnType
) -> None:
    assert [feature.type for feature in view(aggregate).features] == [kind]


REFUSED: tuple[tuple[str, Callable[[], Any], tuple[str, ...]], ...] = (
    # What is refused, and what the message has to say.
    (
        "an unknown column",
        lambda: view(Sum("amonut")),
        ("sum of feature view readings_lately", "'amonut'", "did you mean 'amount'", "price"),
    ),
    (
        "an unknown column of a struct",
        lambda: view(Last(struct("price", "nowhere"))),
        ("last of feature view readings_lately", "'nowhere'", "known: amount"),
    ),
    (
        "a sum of strings",
        lambda: view(Sum("place")),
        ("readings_lately", "sum of 'place', which is string", "sum takes int64, float64, bool"),
    ),
    ("a minimum of truth values", lambda: view(Min("flag")), ("min takes int64, float64",)),
    ("distinct doubles", lambda: view(Distinct("price")), ("distinct takes int64, string, bool",)),
    (
        "approximately distinct doubles",
        lambda: view(ApproxDistinct("price")),
        ("approx_distinct takes int64, string, bool",),
    ),
    ("a quantile of doubles", lambda: view(Quantile("price")), ("quantile takes int64",)),
    ("a mean of strings", lambda: view(Mean("place")), ("mean takes int64, float64, bool",)),
    (
        "one feature twice",
        lambda: view(Count(windows=[Sliding("1h"), Sliding("60m")])),
        ("two features named count_1h", "remove one"),
    ),
    (
        "one feature from two aggregates",
        lambda: view(Last("price"), Last(struct("place", "price"))),
        ("two features named price_last",),
    ),
    ("no aggregates", lambda: view(aggregates=[]), ("readings_lately has no aggregates",)),
    ("no windows", lambda: Count(windows=[]), ("at least one window", "leave windows out")),
    (
        "one window instead of a list",
        lambda: Sum("amount", windows=Sliding("1h")),  # type: ignore[arg-type] # what is refused
        ("one window", "write windows=[Sliding("),
    ),
    (
        "a window that is text",
        lambda: Mean("amount", windows=["1h"]),  # type: ignore[list-item] # what is refused
        ("'1h' is not a window", "Sliding, Tumbling, Session or Unbounded"),
    ),
    ("a struct of nothing", struct, ("struct() names at least one column",)),
    (
        "a hop that does not divide its window",
        lambda: Sliding("1h", hop="7m"),
        ("the hop 7m does not divide its window of 1h", "choose a hop"),
    ),
    (
        "a hop longer than its window",
        lambda: Sliding("1h", hop="1d"),
        ("the hop 1d does not divide its window of 1h",),
    ),
    (
        "a hop that fits its window but no day",
        lambda: Sliding("35m", hop="7m"),
        ("the hop 7m neither divides one day nor is a multiple of it", "5m, 1h or 1d"),
    ),
    ("an empty sliding window", lambda: Sliding("0d"), ("longer than zero",)),
    ("an empty hop", lambda: Sliding("1d", hop="0s"), ("longer than zero",)),
    ("an empty tumbling window", lambda: Tumbling("0h"), ("longer than zero",)),
    ("an empty gap", lambda: Session("0ms"), ("longer than zero",)),
    ("a duration without a unit", lambda: Sliding("60"), ("'60' is not a duration", "ms, s, m")),
    ("a duration with a fraction", lambda: Sliding("1.5h"), ("'1.5h' is not a duration",)),
    ("a negative delay", lambda: Sliding("1h", delay="-1h"), ("'-1h' is not a duration",)),
    ("a duration with a space", lambda: Tumbling("1 h"), ("'1 h' is not a duration",)),
    ("an unknown unit", lambda: Session("1y"), ("'1y' is not a duration", '"30m" or "7d"')),
    (
        "a duration that is a number",
        lambda: Unbounded(delay=3_600_000),  # type: ignore[arg-type] # what is refused
        ("3600000 is not a duration",),
    ),
    ("more than ten thousand years", lambda: Sliding("3652501d"), ("longer than 10,000 years",)),
    ("a quantile of nothing", lambda: Quantile("amount", q=0), ("q=0 is not above 0",)),
    ("a quantile above all", lambda: Quantile("amount", q=1.5), ("q=1.5 is not above 0 and at",)),
    ("a quantile that is no number", lambda: Quantile("amount", q=float("nan")), ("q=nan",)),
    (
        "a default of another type",
        lambda: view(First("place", default=0)),
        ("the default 0 is int, the feature is string",),
    ),
    (
        "a truth value as the default of a number",
        lambda: view(Max("amount", default=True)),
        ("the default True is bool, the feature is int64",),
    ),
    (
        "a fraction as the default of an integer",
        lambda: view(Min("amount", default=0.5)),
        ("the default 0.5 is float, the feature is int64",),
    ),
    (
        "a default that could never be used",
        lambda: view(Sum("amount", default=5)),
        ("sum of no events is 0, the default 5 would never be used", "remove the default"),
    ),
    (
        "a default of a distinct count",
        lambda: view(Distinct("place", default=1)),
        ("distinct of no events is 0",),
    ),
    (
        "a default for several columns",
        lambda: Last(struct("price", "place"), default=0.0),
        ("Last of several columns takes no default", "by itself"),
    ),
    (
        "a view named in capitals",
        lambda: view(name="Readings"),
        ("'Readings' can't name the feature",),
    ),
    ("a view with a double underscore", lambda: view(name="a__b"), ("'a__b' can't name",)),
    ("a view that begins with a digit", lambda: view(name="1st"), ("'1st' can't name",)),
    ("a view without a name", lambda: view(name=""), ("'' can't name the feature view",)),
    ("version 0", lambda: view(version=0), ("version=0, expected 1, 2, 3",)),
    ("a version that is true", lambda: view(version=True), ("version=True, expected 1, 2, 3",)),
    ("a version that is text", lambda: view(version="2"), ("version='2', expected 1, 2, 3",)),
    (
        "an entity whose key the source lacks",
        lambda: view(entity=Entity("card", join_key="card_id")),
        ("column of Reading", "'card_id'", "known: amount"),
    ),
    (
        "a join key that may be null",
        lambda: view(entity=Entity("place", join_key="place")),
        ("the join key 'place' is string or null", "never null"),
    ),
    (
        "a join key that is a number with a fraction",
        lambda: view(entity=Entity("price", join_key="price")),
        ("the join key 'price' is float64 or null", "expected string or int64"),
    ),
    (
        "an entity named badly",
        lambda: Entity("a card", join_key="card_id"),
        ("can't name the entity",),
    ),
    ("a join key named badly", lambda: Entity("card", join_key="cardId"), ("name the join key",)),
    ("a source named badly", lambda: EventSource("Readings", Reading), ("can't name the source",)),
    (
        "a source whose time is unknown",
        lambda: EventSource("readings", Reading, event_time="at", dedup_key="reading_id"),
        ("column of Reading", "'at'", "event_time"),
    ),
    (
        "a source whose time may be null",
        lambda: EventSource("readings", Reading, event_time="amount", dedup_key="reading_id"),
        ("source readings: event_time='amount' is int64 or null, expected int64 that is never",),
    ),
    (
        "a source whose time is text",
        lambda: EventSource("readings", Reading, event_time="sensor", dedup_key="reading_id"),
        ("event_time='sensor' is string, expected int64",),
    ),
    (
        "a source whose dedup key may be null",
        lambda: EventSource("readings", Reading, dedup_key="place"),
        ("dedup_key='place' is string or null, expected string that is never null",),
    ),
    (
        "a source whose dedup key is a number",
        lambda: EventSource("readings", Reading, dedup_key="event_time"),
        ("dedup_key='event_time' is int64, expected string",),
    ),
    (
        "a source whose availability may be null",
        lambda: EventSource("readings", Reading, dedup_key="reading_id", available_at="amount"),
        ("available_at='amount' is int64 or null",),
    ),
    (
        "an unknown feature",
        lambda: view().feature("count_1h"),
        ("feature of readings_lately", "count"),
    ),
    ("a selection that is unknown", lambda: view().select("sum"), ("'sum'", "known: count")),
    (
        "an empty service",
        lambda: FeatureService("s", []),
        ("service s names 0 views", "at least one"),
    ),
    (
        "a service that names a view twice",
        lambda: FeatureService("s", [view(), view().select("count")]),
        ("service s names 2 views: readings_lately, readings_lately", "each once"),
    ),
    ("a service named badly", lambda: FeatureService("S", [view()]), ("'S' can't name",)),
    (
        "a derived column that exists",
        lambda: view(derived={"price": "amount * 2"}),
        ("the derived column 'price' exists in the source", "another name"),
    ),
    (
        "a derived column named badly",
        lambda: view(derived={"Price2": "amount * 2"}),
        ("'Price2' can't name the derived column",),
    ),
    (
        "a derived column made from another",
        lambda: view(derived={"twice": "amount * 2", "thrice": "twice + amount"}),
        ("derived column thrice", "'twice'", "known: amount"),
    ),
    (
        "a filter that is no condition",
        lambda: view(filter="amount + 1"),
        ("readings_lately: the filter is int64, expected bool",),
    ),
    (
        "a filter on an unknown column",
        lambda: view(filter="amonut > 1"),
        ("feature view readings_lately, filter", "did you mean 'amount'"),
    ),
)


@pytest.mark.parametrize(
    ("declare", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_declaration_is_refused_with_what_was_found_and_what_is_allowed(
    declare: Callable[[], Any], said: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        declare()
    for part in said:
        assert part in str(caught.value)


def test_windows_are_equal_when_they_mean_the_same() -> None:
    assert Sliding("60m") == Sliding("1h")
    assert Sliding("1d", hop="3600s", delay="1w") == Sliding("24h", hop="1h", delay="7d")
    assert Tumbling("1440m") == Tumbling("1d")
    assert Session("90s") == Session("90000ms")
    assert Unbounded() == Unbounded(delay="0d")
    assert len({Sliding("60m"), Sliding("1h"), Sliding("1h", delay="1h"), Tumbling("1h")}) == 3


def test_aggregates_are_equal_when_they_mean_the_same() -> None:
    assert Sum("amount", windows=[Sliding("60m")]) == Sum("amount", windows=(Sliding("1h"),))
    # The same fields in another aggregate mean something else.
    assert (
        len({Sum("amount"), Mean("amount"), Sum("price"), Sum("amount", exclude_current=True)}) == 4
    )


def test_views_and_services_are_equal_and_hashed_by_meaning() -> None:
    first = view(Count(windows=[Sliding("60m")]), derived={"twice": "amount * 2"}, tags={"a": "b"})
    again = view(Count(windows=[Sliding("1h")]), derived={"twice": "amount * 2"}, tags={"a": "b"})
    assert first == again
    assert hash(first) == hash(again)
    assert first != view(Count(windows=[Sliding("1h")]), derived={"twice": "amount * 3"})
    assert len({FeatureService("s", [first]), FeatureService("s", [again])}) == 1
    assert len({card_activity, terminal_risk, fraud}) == 3


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (SENSOR, "join_key"),
        (PROMPT, "topic"),
        (Sliding("1h"), "size"),
        (Tumbling("1h"), "size"),
        (Session("1h"), "gap"),
        (Unbounded(), "delay"),
        (Count(), "windows"),
        (Sum("amount"), "column"),
        (Last("amount"), "column"),
        (Quantile("amount"), "q"),
        (card_activity, "version"),
        (card_activity.features[0], "name"),
        (fraud, "features"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_declared_value_can_not_be_changed(value: Any, field: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, getattr(value, field))


def test_what_a_view_was_given_can_not_be_changed_from_outside() -> None:
    derived, tags, aggregates = {"twice": "amount * 2"}, {"team": "a"}, [Count()]
    declared = view(aggregates=aggregates, derived=derived, tags=tags)
    derived["thrice"] = "amount * 3"
    tags["team"] = "b"
    aggregates.append(Count(windows=HOUR))
    assert (dict(declared.derived), dict(declared.tags)) == ({"twice": "amount * 2"}, {"team": "a"})
    assert declared.aggregates == (Count(),)
    with pytest.raises(TypeError):
        declared.derived["thrice"] = "amount * 3"  # type: ignore[index] # what is refused


def test_a_view_reads_only_the_columns_that_its_values_need() -> None:
    declared = view(
        Sum("twice"),
        Last("place"),
        derived={"twice": "amount * 2"},
        filter="flag AND twice > 4",
    )
    # The derived column is computed, not read.
    assert declared.input_columns == (
        "sensor",
        "event_time",
        "reading_id",
        "flag",
        "amount",
        "place",
    )
    assert declared.column_types["twice"] is ColumnType.INT64


def test_a_whole_number_is_a_default_for_a_double() -> None:
    (feature,) = view(Mean("amount", default=0)).features
    assert (feature.default, type(feature.default)) == (0.0, float)


def test_a_source_is_named_after_its_events_where_nothing_else_is_said() -> None:
    assert (PROMPT.topic, PROMPT.table) == ("readings", "bronze.readings")
    given = EventSource("r", Reading, dedup_key="reading_id", topic="raw", table="lake.raw")
    assert (given.topic, given.table) == ("raw", "lake.raw")


@pytest.mark.parametrize(
    ("windows", "lookback_ms"),
    [
        ([Sliding("1h")], 3_600_000 + 1),
        ([Sliding("1h", hop="5m", delay="2h")], 3 * 3_600_000 + 300_000),
        ([Tumbling("1d"), Sliding("1h")], 86_400_000 + 1),
        ([Sliding("1h"), Session("1m")], None),
        ([Unbounded()], None),
    ],
)
def test_a_view_tells_how_far_back_its_values_reach(
    windows: list[Any], lookback_ms: int | None
) -> None:
    assert view(Count(windows=windows)).lookback_ms == lookback_ms


@pytest.mark.parametrize(
    ("text", "duration_ms", "spelling"),
    [
        ("0ms", 0, "0ms"),
        ("1500ms", 1_500, "1500ms"),
        ("90s", 90_000, "90s"),
        ("60m", 3_600_000, "1h"),
        ("48h", 172_800_000, "2d"),
        ("1w", 604_800_000, "7d"),
        ("3652500d", 315_576_000_000_000, "3652500d"),
    ],
)
def test_a_duration_has_one_canonical_spelling(text: str, duration_ms: int, spelling: str) -> None:
    assert parse_duration(text) == duration_ms
    assert format_duration(duration_ms) == canonical(text) == spelling
    assert parse_duration(spelling) == duration_ms


def test_times_before_1970_are_rounded_down_too() -> None:
    assert [floor_to(time_ms, 10) for time_ms in (-11, -10, -1, 0, 9, 10)] == [
        -20,
        -10,
        -10,
        0,
        0,
        10,
    ]
