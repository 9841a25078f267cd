"""Which columns a feature is made of is exact: those that are aggregated and those that decide."""

from __future__ import annotations

from headrace_features import Count, Entity, EventSource, FeatureView, Last, Sliding, Sum, struct
from headrace_features.fraud.definitions import terminal_risk
from headrace_features.lineage.columns import Use, column_uses
from headrace_schemas.events import Event


class Sale(Event, frozen=True, kw_only=True):
    sale_id: str
    shop: str
    event_time: int
    amount: int
    factor: int
    place: str
    returned: bool


SALES = EventSource("sales", Sale, dedup_key="sale_id")
VIEW = FeatureView(
    "sales_lately",
    1,
    Entity("shop", join_key="shop"),
    SALES,
    [
        Count(),
        Sum("weighed", windows=[Sliding("1d")]),
        Last(struct("place"), windows=[Sliding("1d", delay="1h")], exclude_current=True),
    ],
    filter="NOT returned AND weighed > 0",
    derived={"weighed": "amount *  factor"},
)


def uses(view: FeatureView, feature: str) -> list[tuple[str, str, str]]:
    return [
        (one.column, str(one.use), one.told) for one in column_uses(view, view.feature(feature))
    ]


def test_a_sum_of_a_derived_column_is_made_of_what_that_is_computed_from() -> None:
    condition = "NOT returned AND weighed > 0"
    assert uses(VIEW, "weighed_sum_1d") == [
        ("amount", "AGGREGATION", "sum of weighed = amount * factor"),
        ("factor", "AGGREGATION", "sum of weighed = amount * factor"),
        ("shop", "GROUP_BY", "by shop"),
        ("event_time", "WINDOW", "1d"),
        ("returned", "FILTER", condition),
        ("amount", "FILTER", condition),
        ("factor", "FILTER", condition),
    ]


def test_a_count_is_made_of_no_value_and_of_all_events_where_it_has_no_window() -> None:
    found = uses(VIEW, "count")
    assert found[:2] == [("shop", "GROUP_BY", "by shop"), ("event_time", "WINDOW", "all events")]
    assert not any(Use(use).is_direct for _, use, _ in found)


def test_a_chosen_row_also_depends_on_the_order_and_on_the_event_that_is_left_out() -> None:
    found = uses(VIEW, "place_last_1d_delayed_1h_excluding_current")
    assert ("place", "IDENTITY", "last of place") in found
    assert ("event_time", "SORT", "the last row") in found
    assert ("event_time", "WINDOW", "1d_delayed_1h") in found
    assert found.count(("sale_id", "SORT", "the last row")) == 1
    assert ("sale_id", "FILTER", "without the event that is decided") in found


def test_when_a_label_became_known_decides_as_well() -> None:
    found = uses(terminal_risk, "is_fraud_mean_7d_delayed_7d")
    assert ("is_fraud", "AGGREGATION", "mean of is_fraud") in found
    assert ("reported_at", "FILTER", "known by then") in found
