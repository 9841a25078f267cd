"""Feast answers with what is registered while code already declares something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import feast
import pandas as pd
import pyarrow as pa
import pytest

from headrace_batch.materialize import materialize_view
from headrace_features import Count, FeatureView, Mean, OnDemandView, Sliding, Sum
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.feast_plugin import repository
from headrace_features.feast_plugin.changes import DEFINITION_TAG
from headrace_features.feast_plugin.registered import registered_definition
from headrace_features.project import Project, load_project
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import Settings, load
from lakes import unwatched, write_events

#: What code declares: the second version, with another default and one feature less than the first.
DEFINITIONS = """
from headrace_features import (
    Count, Entity, EventSource, FeatureService, FeatureView, Mean, OnDemandView, Sliding
)
from headrace_schemas.events import Event

class Spending(Event, frozen=True, kw_only=True):
    spending_id: str
    account: int
    event_time: int
    amount: int | None = None
    channel: str | None = None

owner = Entity("owner", join_key="account")
spending = EventSource("spending", Spending, dedup_key="spending_id")
lately = FeatureView(
    "lately", 2, owner, spending,
    [Count([Sliding("1d")]), Mean("amount", [Sliding("1d")], default=-2.5)],
)
other = FeatureView("other", 1, owner, spending, [Count([Sliding("2d")])])
asking = OnDemandView(
    "asking", 1, [lately], {"counted": "lately__count_1d * factor"}, {"factor": int}
)
everything = FeatureService("everything", [lately, asking])
"""
COLUMNS = pa.schema(
    [
        ("spending_id", pa.string()),
        ("account", pa.int64()),
        ("event_time", pa.int64()),
        ("amount", pa.int64()),
        ("channel", pa.string()),
    ]
)
LAST_DAY = date(2023, 11, 14)
BOUNDARY_MS = int(datetime(2023, 11, 15, tzinfo=UTC).timestamp()) * 1000
AS_OF_MS = BOUNDARY_MS - 1
ACCOUNTS = (7, 8, 9)
EVENTS = [
    {"spending_id": str(number), "account": account, "amount": amount, "channel": None}
    | {"event_time": BOUNDARY_MS - 3_600_000 + number}
    for number, (account, amount) in enumerate([(7, 10), (7, -4), (8, None)])
]
FIRST = ["lately:count_1d", "lately:amount_mean_1d", "lately:amount_sum_2d"]
#: The values of the first version: 7 has spent twice, 8 nothing that is known, 9 never.
OF_FIRST = {
    "count_1d": [2, 1, 0],
    "amount_mean_1d": [3.0, -1.5, -1.5],
    "amount_sum_2d": [6, 0, 0],
}


@dataclass(frozen=True)
class Place:
    """A project whose registry has the first version of a view; code has the second."""

    settings: Settings
    declared: Project
    registered: Project

    @property
    def store(self) -> feast.FeatureStore:
        return repository.feature_store(self.settings)

    def online(self, features: list[str], **more: Any) -> Mapping[str, list[Any]]:
        rows = [{"account": key, "as_of": AS_OF_MS, **more} for key in ACCOUNTS]
        found = self.store.get_online_features(features=features, entity_rows=rows).to_dict()
        return {name: values for name, values in found.items() if name != "account"}

    def history(self, features: list[str], **more: Any) -> Mapping[str, list[Any]]:
        time = datetime.fromtimestamp(AS_OF_MS / 1000, tz=UTC)
        frame = pd.DataFrame({"account": ACCOUNTS, "event_timestamp": [time] * len(ACCOUNTS)})
        frame = frame.assign(**more)
        table = self.store.get_historical_features(frame, features=features).to_arrow()
        return {
            name: values for name, values in table.to_pydict().items() if name not in frame.columns
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "spending_views.py").write_text(DEFINITIONS, encoding="utf-8")
    (tmp_path / "headrace.toml").write_text(
        'home = "data"\n[project]\nname = "bank"\ndefinitions = ["spending_views"]\n',
        encoding="utf-8",
    )
    settings = load(tmp_path, {})
    declared = load_project(settings)
    newer = declared.view("lately")
    first = FeatureView(
        name="lately",
        version=1,
        entity=newer.entity,
        source=newer.source,
        aggregates=[
            Count([Sliding("1d")]),
            Mean("amount", [Sliding("1d")], default=-1.5),
            Sum("amount", [Sliding("2d")]),
        ],
    )
    dropped = replace(first, name="dropped")
    registered = replace(
        declared,
        views={"lately": first, "other": declared.view("other"), "dropped": dropped},
        services={},
    )
    write_events(settings, "bronze.spending", pa.Table.from_pylist(EVENTS, COLUMNS))
    repository.apply(settings, registered)
    for view in (first, dropped):
        materialize_view(settings, view, LAST_DAY, unwatched)
    return Place(settings, declared, registered)


def test_a_registered_view_is_answered_though_code_declares_another_version(place: Place) -> None:
    assert place.online(FIRST) == OF_FIRST
    assert place.history(FIRST) == OF_FIRST


def test_a_registered_view_is_answered_though_no_code_declares_it_any_more(place: Place) -> None:
    names = [name.replace("lately", "dropped") for name in FIRST]
    assert "dropped" not in place.declared.views
    assert place.online(names) == OF_FIRST
    assert place.history(names) == OF_FIRST


def now_held(store: feast.FeatureStore, account: int, name: str) -> object:
    """A value by what the registry has at this moment."""
    store.refresh_registry()  # type: ignore[no-untyped-call]
    found = store.get_online_features(
        features=[f"lately:{name}"], entity_rows=[{"account": account, "as_of": AS_OF_MS}]
    )
    (value,) = found.to_dict()[name]
    return value


def test_what_is_applied_is_answered_by_a_store_that_was_open_before(place: Place) -> None:
    store = place.store
    assert now_held(store, 9, "amount_mean_1d") == -1.5
    repository.apply(place.settings, place.declared)
    materialize_view(place.settings, place.declared.view("lately"), LAST_DAY, unwatched)
    assert now_held(store, 9, "amount_mean_1d") == -2.5
    assert place.history(["lately:amount_mean_1d"]) == {"amount_mean_1d": [3.0, -2.5, -2.5]}


def test_a_version_that_means_the_same_has_state_of_its_own(place: Place) -> None:
    store = place.store
    assert now_held(store, 7, "count_1d") == 2
    newer = replace(place.registered.view("lately"), version=3)
    views = {**place.registered.views, "lately": newer}
    repository.apply(place.settings, replace(place.registered, views=views))
    assert now_held(store, 7, "count_1d") is None


def test_on_demand_features_beside_a_view_leave_its_definition_as_registered(place: Place) -> None:
    wanted = {"counted": [6, 3, 0], **OF_FIRST}
    for names in (["asking:counted", *FIRST], [*FIRST, "asking:counted"]):
        assert place.online(names, factor=3) == wanted
        assert place.history(names, factor=3) == wanted


def test_an_on_demand_view_that_means_something_else_is_refused_in_history_as_online(
    place: Place,
) -> None:
    first = place.registered.view("lately")
    asking = OnDemandView(
        "asking", 2, [first], {"counted": "lately__amount_sum_2d * factor"}, {"factor": int}
    )
    repository.apply(place.settings, replace(place.registered, on_demand={"asking": asking}))
    for ask in (place.online, place.history):
        with pytest.raises(ConfigurationError, match="asking is not registered as it is declared"):
            ask(["asking:counted"], factor=3)


def tagged(place: Place, view: str, definition: str | None) -> None:
    """Put another definition into the registry, or take it away."""
    store = place.store
    table = store.get_feature_view(view)
    table.tags = {name: text for name, text in table.tags.items() if name != DEFINITION_TAG}
    if definition is not None:
        table.tags[DEFINITION_TAG] = definition
    store.apply([table])


def test_without_a_definition_in_the_registry_code_has_to_declare_what_is_registered(
    place: Place,
) -> None:
    tagged(place, "lately", None)
    tagged(place, "other", None)
    for ask in (place.online, place.history):
        with pytest.raises(ConfigurationError, match="lately is not registered as it is declared"):
            ask(FIRST)
    assert place.history(["other:count_2d"]) == {"count_2d": [2, 1, 0]}
    assert place.online(["other:count_2d"]) == {"count_2d": [None] * 3}
    repository.apply(place.settings, place.registered)
    assert place.online(FIRST) == OF_FIRST


def test_a_definition_in_the_registry_that_can_not_be_read_says_so_in_one_line(
    place: Place,
) -> None:
    text = place.store.get_feature_view("lately").tags[DEFINITION_TAG]
    for damaged, told in (
        (text[:-9], "definition of feature view lately is no JSON"),
        (text.replace('"format":2', '"format":9'), "lately can't be read.*format 9, expected 2"),
        (text.replace('"count"', '"counts"'), "lately can't be read.*Invalid enum value 'counts'"),
        (text.replace("-1.5", "-1.75"), "definition of feature view lately is not what was reg"),
    ):
        tagged(place, "lately", damaged)
        for ask in (place.online, place.history):
            with pytest.raises(ConfigurationError, match=told) as refused:
                ask(FIRST)
            assert "headrace apply" in str(refused.value)
            assert "\n" not in str(refused.value)


def test_the_registry_has_the_whole_definition_of_a_view(place: Place) -> None:
    table = place.store.get_feature_view("lately").with_name("renamed")
    found = registered_definition(table, lambda: pytest.fail("code is not asked"))
    first = place.registered.view("lately")
    assert (found.name, found.version, found.features) == ("lately", 1, first.features)
    assert fingerprint(found) == fingerprint(first)
    assert [column.name for column in found.source.columns] == COLUMNS.names
