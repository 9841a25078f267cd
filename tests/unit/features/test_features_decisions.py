"""Decisions name rules that can be evaluated, cover every view, and flag what their rules say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from headrace_features import (
    Count,
    Decisions,
    Entity,
    EventSource,
    FeatureService,
    FeatureView,
    Max,
    OnDemandView,
    Rule,
    Sliding,
    Sum,
)
from headrace_features.decisions import decisions_of, fired
from headrace_features.fraud import definitions as fraud
from headrace_features.oracle import Row, SpineRow, values
from headrace_features.project import Project, collect
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.events import Event
from histories import LATE, PROMPT, SENSOR

HOUR = [Sliding("1h")]


class Place(Event, frozen=True, kw_only=True):
    """An event of something that readings don't name."""

    event_id: str
    region: str
    event_time: int


PLACES = EventSource("places", Place)


def view(name: str, source: EventSource = PROMPT, entity: Entity = SENSOR) -> FeatureView:
    aggregates: list[Any] = [Count(windows=HOUR)]
    if source is not PLACES:
        aggregates += [Sum("amount", windows=HOUR), Max("price", windows=HOUR)]
    return FeatureView(name=name, version=1, entity=entity, source=source, aggregates=aggregates)


LATELY, KNOWN = view("lately"), view("known", LATE)
REGIONAL = view("regional", PLACES, Entity("region", join_key="region"))
SERVICE = FeatureService("watch", [KNOWN, LATELY])
ON_DEMAND = OnDemandView("share", 1, [LATELY], {"of_all": "lately__count_1h / 9"})


def decisions(*rules: Rule, **changes: Any) -> Decisions:
    declared: dict[str, Any] = {"name": "watch", "source": PROMPT, "service": SERVICE}
    return Decisions(**(declared | {"rules": rules} | changes))


def project(*views: FeatureView, declared: tuple[Decisions, ...] = ()) -> Project:
    module = ModuleType("declared")
    for number, one in enumerate((*views, *declared)):
        setattr(module, f"definition_{number}", one)
    return collect("watch", [module])


REFUSED: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "a rule named badly": (lambda: Rule("Busy", "TRUE"), ("'Busy' can't name the rule",)),
    "decisions named badly": (
        lambda: decisions(name="all of them"),
        ("'all of them' can't name the decisions",),
    ),
    "two rules of one name": (
        lambda: decisions(Rule("busy", "lately__count_1h > 1"), Rule("busy", "amount > 1")),
        ("decisions watch have two rules named busy", "rename"),
    ),
    "a rule that is no condition": (
        lambda: decisions(Rule("busy", "amount + 1")),
        ("decisions watch, rule busy", "the condition is int64, expected bool"),
    ),
    "a rule over a column that is not there": (
        lambda: decisions(Rule("busy", "amonut > 1")),
        ("decisions watch, rule busy", "did you mean 'amount'", "lately__count_1h"),
    ),
    "a rule over a feature that is not there": (
        lambda: decisions(Rule("busy", "lately__count_1d > 1")),
        ("'lately__count_1d'", "did you mean 'lately__count_1h'"),
    ),
    "a rule over a view that the service leaves out": (
        lambda: decisions(
            Rule("busy", "known__count_1h > 1"), service=FeatureService("s", [LATELY])
        ),
        ("'known__count_1h'",),
    ),
    "a rule outside the grammar": (
        lambda: decisions(Rule("busy", "amount % 2 > 1")),
        ("rule busy", "allowed: columns"),
    ),
    "a service of nothing that is kept": (
        lambda: decisions(service=FeatureService("s", [ON_DEMAND])),
        ("decisions watch: the service s has no feature view", "left out"),
    ),
    "a rule over what is computed on demand": (
        lambda: decisions(
            Rule("busy", "share__of_all > 1"), service=FeatureService("s", [LATELY, ON_DEMAND])
        ),
        ("'share__of_all'", "lately__count_1h"),
    ),
    "a view about what the event does not name": (
        lambda: decisions(service=FeatureService("s", [LATELY, REGIONAL])),
        ("view regional is about 'region', which Reading does not have", "sensor", "leave"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_decisions_that_can_not_be_made_are_refused_with_what_is_wrong(case: str) -> None:
    declare, said = REFUSED[case]
    with pytest.raises(ConfigurationError) as caught:
        declare()
    for part in said:
        assert part in str(caught.value)


def test_rules_may_use_the_event_s_columns_and_every_feature_by_view() -> None:
    types = decisions().column_types
    assert types["amount"] is ColumnType.INT64
    assert types["lately__count_1h"] is ColumnType.INT64
    assert types["known__price_max_1h"] is ColumnType.FLOAT64
    assert "count_1h" not in types


def test_views_of_the_decided_source_are_asked_first() -> None:
    assert decisions().views == (LATELY, KNOWN)
    assert decisions(source=LATE).views == (KNOWN, LATELY)


def test_decisions_can_not_be_changed_and_are_equal_by_meaning() -> None:
    rules = [Rule("busy", "lately__count_1h > 1")]
    one = decisions(rules=rules)
    rules.append(Rule("huge", "amount > 9"))
    assert [rule.name for rule in one.rules] == ["busy"]
    assert one == decisions(Rule("busy", "lately__count_1h > 1"))
    assert one != decisions(Rule("busy", "lately__count_1h > 2"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.name = "other"  # type: ignore[misc] # refused at run time too


def test_a_project_finds_decisions_and_everything_that_they_name() -> None:
    declared = decisions(Rule("busy", "lately__count_1h > 1"))
    found = project(declared=(declared,))
    assert dict(found.decisions) == {"watch": declared}
    assert found.decision("watch") is declared
    assert set(found.views) == {"known", "lately"}
    assert set(found.sources) == {"late_readings", "readings"}
    assert set(found.services) == {"watch"}
    with pytest.raises(ConfigurationError, match=r"unknown decisions 'wacth'.*'watch'"):
        found.decision("wacth")


def test_without_decisions_each_source_is_answered_with_its_own_views() -> None:
    other = view("other")
    implied = decisions_of(project(LATELY, other, KNOWN, REGIONAL))
    assert {one.name: (one.source, one.views, one.rules) for one in implied} == {
        "readings": (PROMPT, (LATELY, other), ()),
        "late_readings": (LATE, (KNOWN,), ()),
        "places": (PLACES, (REGIONAL,), ()),
    }


def test_a_view_in_no_declared_decisions_is_in_implied_ones() -> None:
    other = view("other")
    declared = decisions(Rule("busy", "lately__count_1h > 1"))
    found = decisions_of(project(other, REGIONAL, declared=(declared,)))
    assert found[0] is declared
    assert {one.name: one.views for one in found[1:]} == {
        "readings": (other,),
        "places": (REGIONAL,),
    }


def test_declared_decisions_that_cover_every_view_are_all() -> None:
    declared = decisions()
    assert decisions_of(project(declared=(declared,))) == (declared,)


def test_implied_decisions_never_share_a_name_with_declared_ones() -> None:
    """Both would write under one name, and the job's operators would have one identity."""
    declared = decisions(name="readings")
    with pytest.raises(ConfigurationError) as caught:
        decisions_of(project(view("other"), declared=(declared,)))
    for part in ("no decisions ask for other", "the source readings", "another name"):
        assert part in str(caught.value)


def test_declared_decisions_may_be_named_after_a_source_that_needs_no_implied_ones() -> None:
    declared = decisions(name="readings")
    found = decisions_of(project(REGIONAL, declared=(declared,)))
    assert [one.name for one in found] == ["readings", "places"]


RULES = decisions(
    Rule("busy", "lately__count_1h >= 3"),
    Rule("huge", "amount > 2 * known__amount_sum_1h"),
    Rule("beyond", "lately__amount_sum_1h * amount > 0 OR lately__count_1h >= 3"),
)


def reading(amount: int | None) -> Row:
    event: dict[str, Any] = {"reading_id": "r", "sensor": "a", "event_time": 1, "known_at": 1}
    return event | {"amount": amount, "price": None, "place": None, "flag": None}


def features(count: int | None, lately: int, known: int | None) -> Row:
    return {
        "lately__count_1h": count,
        "lately__amount_sum_1h": lately,
        "lately__price_max_1h": None,
        "known__count_1h": 0,
        "known__amount_sum_1h": known,
        "known__price_max_1h": None,
    }


def test_an_event_is_flagged_by_the_rules_that_are_true_in_their_order() -> None:
    assert fired(RULES, reading(5), features(3, 1, 2)) == ("busy", "huge", "beyond")
    assert fired(RULES, reading(4), features(3, 1, 2)) == ("busy", "beyond")
    assert fired(RULES, reading(5), features(2, 0, 2)) == ("huge",)
    assert fired(RULES, reading(4), features(2, 0, 2)) == ()


def test_a_rule_that_is_null_flags_nothing() -> None:
    assert fired(RULES, reading(5), features(None, 0, None)) == ()
    assert fired(RULES, reading(None), features(2, 0, 2)) == ()


def test_a_rule_beyond_the_numbers_there_are_flags_nothing_and_hides_no_other() -> None:
    assert fired(RULES, reading(2**62), features(3, 4, 2)) == ("busy", "huge")


MINUTE_MS = 60_000
NOON_MS = 1_700_000_000_000


def paid(number: int, **changes: Any) -> Row:
    event: dict[str, Any] = {
        "transaction_id": f"t{number}",
        "card_id": "c",
        "terminal_id": "m",
        "event_time": NOON_MS,
        "amount_minor": 1_000,
        "currency": "EUR",
        "country": "DE",
        "latitude": 52.5,
        "longitude": 13.4,
        "channel": None,
    }
    return event | changes


def label(number: int, *, is_fraud: bool, reported_at: int) -> Row:
    return {
        "transaction_id": f"l{number}",
        "card_id": "d",
        "terminal_id": "m",
        "event_time": NOON_MS - 10 * 1440 * MINUTE_MS,
        "is_fraud": is_fraud,
        "reported_at": reported_at,
    }


def flags(*history: Row, labels: tuple[Row, ...] = ()) -> tuple[str, ...]:
    """What the fraud rules say of the last transaction, by the oracle's values."""
    event = history[-1]
    named: dict[str, object] = {}
    for one in fraud.card_decisions.views:
        events = history if one.source.name == "transactions" else labels
        row = SpineRow(str(event[one.entity.join_key]), NOON_MS, str(event["transaction_id"]))
        (found,) = values(one, events, [row])
        named |= {f"{one.name}__{name}": value for name, value in found.items()}
    return fired(fraud.card_decisions, event, named)


def test_an_ordinary_first_payment_is_not_flagged() -> None:
    assert flags(paid(0)) == ()


def test_the_fourth_payment_within_a_minute_is_flagged() -> None:
    ago = [paid(n, event_time=NOON_MS - 10_000 * (4 - n)) for n in range(4)]
    assert flags(*ago[1:], paid(4)) == ("velocity",)
    assert flags(*ago[2:], paid(4)) == ()


def test_the_fifteenth_payment_within_an_hour_is_flagged() -> None:
    ago = [paid(n, event_time=NOON_MS - 3 * MINUTE_MS * (15 - n)) for n in range(15)]
    assert flags(*ago[1:], paid(15)) == ("velocity",)
    assert flags(*ago[2:], paid(15)) == ()


def test_an_amount_far_above_the_card_s_own_is_flagged_once_there_are_ten() -> None:
    """The event counts itself: with n - 1 equal amounts before, it is √n(n-1)/n deviations up."""
    ago = [paid(n, event_time=NOON_MS - 1440 * MINUTE_MS * (n + 1)) for n in range(20)]
    assert flags(*ago, paid(20, amount_minor=90_000)) == ("amount_outlier",)
    assert flags(*ago, paid(20)) == ()
    assert flags(*ago[:8], paid(20, amount_minor=90_000)) == ()


def test_travel_faster_than_a_flight_is_flagged_and_needs_a_place_before() -> None:
    hour_ago = NOON_MS - 60 * MINUTE_MS
    munich: dict[str, Any] = {"latitude": 48.1, "longitude": 11.6}
    new_york: dict[str, Any] = {"latitude": 40.7, "longitude": -74.0}
    assert flags(paid(0, event_time=hour_ago), paid(1, **new_york)) == ("impossible_travel",)
    assert flags(paid(0, event_time=hour_ago), paid(1, **munich)) == ()
    assert flags(paid(0, event_time=hour_ago), paid(1, latitude=None, longitude=None)) == ()
    # At one instant no distance can be travelled, but within 50 km it may be a bad position.
    assert flags(paid(0), paid(1, **munich)) == ("impossible_travel",)
    assert flags(paid(0), paid(1, latitude=52.6)) == ()


def test_a_terminal_with_much_known_fraud_is_flagged() -> None:
    def known(frauds: int, of: int, reported_at: int = NOON_MS) -> tuple[Row, ...]:
        return tuple(
            label(number, is_fraud=number < frauds, reported_at=reported_at) for number in range(of)
        )

    assert flags(paid(0), labels=known(2, of=5)) == ("terminal_risk",)
    assert flags(paid(0), labels=known(1, of=5)) == ()
    assert flags(paid(0), labels=known(4, of=4)) == ()
    assert flags(paid(0), labels=known(5, of=5, reported_at=NOON_MS + 1)) == ()
