"""Events that are pushed through Feast are in the topic of their source, each once."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feast
import pandas as pd
import pytest
from feast.data_source import PushMode

from headrace_features.feast_plugin import pushes, repository
from headrace_features.feast_plugin.registry_file import pending_changes
from headrace_features.project import load_project
from headrace_schemas.errors import BadRecordError, RetryableError, UnsupportedError
from headrace_schemas.reasons import Reason
from headrace_schemas.settings import Settings, load
from headrace_streaming.kafka.topics import topics_of
from lakes import settings_in
from servers import feast_server, headrace_server
from streams import broker_in, received

REPOSITORY = Path(__file__).parents[2] / "features" / "feature_repo"
PLAIN = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, PushSource
from feast.types import Float64
shop = Entity(name="shop", join_keys=["shop_id"])
shop_push = PushSource(
    name="shop_push",
    batch_source=FileSource(path="shops.parquet", timestamp_field="event_timestamp"),
)
shop_rating = FeatureView(
    name="shop_rating", entities=[shop], schema=[Field(name="rating", dtype=Float64)],
    source=shop_push, ttl=timedelta(days=0),
)
"""
SHARING = """
from headrace_features import Count, FeatureView, Mean, Sliding
from headrace_features.fraud.definitions import card, transactions
counts = FeatureView("counts", 1, card, transactions, [Count([Sliding("1d")])])
amounts = FeatureView("amounts", 1, card, transactions, [Mean("amount_minor", [Sliding("1d")])])
"""


@dataclass(frozen=True)
class Place:
    """A project that is registered, and the broker that it sends to."""

    settings: Settings
    kafka: Mapping[str, str]
    sent: list[int]

    def records(self, more: int) -> list[tuple[str, dict[str, Any]]]:
        """The keys and events that were pushed since the last look."""
        self.sent.append(more)
        found = received(self.kafka, "transactions", sum(self.sent))
        assert len(found) == sum(self.sent)
        newest = sorted(found, key=lambda m: (m.timestamp()[1], m.offset()))[-more:] if more else []
        return [((m.key() or b"").decode(), json.loads(m.value() or b"")) for m in newest]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("home")
    settings = settings_in(home)
    repository.apply(settings, load_project(settings))
    with broker_in(home) as kafka:
        store = repository.feature_store(settings)
        # Makes the topics.
        store.push("transactions_push", pd.DataFrame([event("first")]))
        yield Place(settings, kafka, [1])


@pytest.fixture
def store(place: Place) -> feast.FeatureStore:
    return repository.feature_store(place.settings)


def event(name: str, **changed: Any) -> dict[str, Any]:
    """A transaction of this moment."""
    return {
        "transaction_id": name,
        "card_id": f"card-{name}",
        "terminal_id": "t1",
        "event_time": time.time_ns() // 1_000_000,
        "amount_minor": 1250,
        "country": "NL",
        **changed,
    }


def frame(*events: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(events))


def test_a_push_is_in_the_topic_when_it_returns_as_headrace_send_would_have_sent_it(
    place: Place, store: feast.FeatureStore
) -> None:
    pushed = [event("a"), event("b", currency="EUR", latitude=52.5)]
    store.push("transactions_push", frame(*pushed))
    keys = {topic.name: topic.key for topic in topics_of(load_project(place.settings))}
    found = place.records(2)
    assert {key for key, _ in found} == {row[keys["transactions"]] for row in pushed}
    absent = dict.fromkeys(("currency", "country", "latitude", "longitude", "channel"))
    by_name = {row["transaction_id"]: row for _, row in found}
    assert by_name == {row["transaction_id"]: {**absent, **row} for row in pushed}


def test_times_may_be_texts_as_json_has_them(place: Place, store: feast.FeatureStore) -> None:
    moment = datetime.now(UTC).replace(microsecond=5_000)
    texts = [moment.isoformat(), moment.replace(tzinfo=None).isoformat(" ")]
    store.push("transactions_push", frame(*(event(t, event_time=t) for t in texts)))
    sent_ms = int(moment.timestamp()) * 1000 + 5
    assert [row["event_time"] for _, row in place.records(2)] == [sent_ms] * 2
    with pytest.raises(BadRecordError, match=r"row \[0\] is wrong_type: .*event_time.*'soon'"):
        store.push("transactions_push", frame(event("c", event_time="soon")))


def test_an_event_is_sent_once_though_two_views_share_its_source(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "sharing_views.py").write_text(SHARING, encoding="utf-8")
    (tmp_path / "headrace.toml").write_text(
        f'home = "{place.settings.home}"\n[project]\nname = "sharing"\n'
        f'definitions = ["sharing_views"]\n[feast]\nregistry = "registry.db"\n',
        encoding="utf-8",
    )
    settings = load(tmp_path, {})
    repository.apply(settings, load_project(settings))
    store = repository.feature_store(settings)
    sharing = [view.name for view in store.list_feature_views() if view.stream_source is not None]
    assert sorted(sharing) == ["amounts", "counts"]
    store.push("transactions_push", frame(event("once")))
    store.push("transactions_push", frame(event("twice")), to=PushMode.ONLINE_AND_OFFLINE)
    assert [row["transaction_id"] for _, row in place.records(2)] == ["once", "twice"]


def test_views_take_events_by_their_own_names_and_asynchronously(
    place: Place, store: feast.FeatureStore
) -> None:
    store.write_to_online_store("card_activity", frame(event("by-view")))
    store.write_to_online_store("card_activity", inputs=[event("by-inputs")])

    async def both() -> None:
        await store.push_async("transactions_push", frame(event("async")))
        await store.write_to_online_store_async("card_activity", frame(event("view-async")))

    asyncio.run(both())
    assert {row["transaction_id"] for _, row in place.records(4)} == {
        "by-view",
        "by-inputs",
        "async",
        "view-async",
    }


def test_what_pandas_holds_otherwise_is_as_the_contract_has_it(
    place: Place, store: feast.FeatureStore
) -> None:
    moment = datetime.now(UTC).replace(microsecond=123_000)
    events = frame(
        event("zoned", event_time=moment, longitude=None),
        event("null", event_time=moment + timedelta(milliseconds=1), country=None, longitude=1.5),
    )
    events["amount_minor"] = events["amount_minor"].astype("float64")
    events["anything"] = "else"
    store.push("transactions_push", events)
    (_, first), (_, second) = sorted(place.records(2), key=lambda one: one[1]["event_time"])
    assert first["event_time"] == round(moment.timestamp() * 1000)
    assert (first["amount_minor"], first["longitude"], first["country"]) == (1250, None, "NL")
    assert type(first["amount_minor"]) is int
    assert (second["country"], second["longitude"]) == (None, 1.5)
    assert "anything" not in first


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"card_id": None}, Reason.NULL_KEY),
        ({"country": "Netherlands"}, Reason.BAD_FORMAT),
        ({"amount_minor": "much"}, Reason.WRONG_TYPE),
        ({"amount_minor": 12.5}, Reason.WRONG_TYPE),
        ({"event_time": 1_700_000_000}, Reason.EVENT_TIME_WRONG_UNIT),
        ({"event_time": 4_000_000_000_000}, Reason.EVENT_TIME_OUT_OF_RANGE),
        ({"latitude": float("inf")}, Reason.NOT_FINITE),
        ({"channel": "x" * 2_000_000}, Reason.TOO_LARGE),
    ],
)
def test_one_bad_row_is_named_with_its_reason_and_nothing_is_sent(
    place: Place, store: feast.FeatureStore, bad: dict[str, Any], reason: Reason
) -> None:
    events = frame(event("good"), event("bad", **bad))
    with pytest.raises(BadRecordError) as caught:
        store.push("transactions_push", events)
    assert caught.value.reason is reason
    named = "the event bad" if reason is Reason.TOO_LARGE else f"row [1] is {reason}"
    assert named in str(caught.value)
    assert "none of the" in str(caught.value)
    assert place.records(0) == []


def test_a_frame_without_a_column_of_the_contract_is_refused_with_those_it_has(
    store: feast.FeatureStore,
) -> None:
    with pytest.raises(BadRecordError, match=r"no column card_id.*transaction_id, card_id"):
        store.push("transactions_push", frame(event("a")).drop(columns="card_id"))
    store.push("transactions_push", frame(event("a")).iloc[:0])


def test_the_lake_alone_is_refused_with_the_command_that_fills_it(
    place: Place, store: feast.FeatureStore
) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: store.push("transactions_push", frame(event("a")), to=PushMode.OFFLINE),
        lambda: store.write_to_offline_store("card_activity", frame(event("a"))),
        lambda: asyncio.run(
            store.push_async("transactions_push", frame(event("a")), to=PushMode.OFFLINE)
        ),
    ]
    for attempt in attempts:
        with pytest.raises(UnsupportedError, match="headrace ingest --from-kafka"):
            attempt()
    assert place.records(0) == []


def test_many_threads_push_at_once_and_each_event_is_there_once(
    place: Place, store: feast.FeatureStore
) -> None:
    names = [f"thread-{number}" for number in range(60)]
    with ThreadPoolExecutor(12) as threads:
        sent = threads.map(lambda name: store.push("transactions_push", frame(event(name))), names)
        assert list(sent) == [None] * len(names)
    assert sorted(row["transaction_id"] for _, row in place.records(60)) == sorted(names)


def test_servers_take_events_over_http(place: Place) -> None:
    names = []
    for started in (feast_server, headrace_server):
        with started(place.settings.home) as server:
            for path, what in (
                ("/push", {"push_source_name": "transactions_push"}),
                ("/write-to-online-store", {"feature_view_name": "card_activity"}),
            ):
                names.append(f"{started.__name__}-{path[1:]}")
                columns = {name: [value] for name, value in event(names[-1]).items()}
                answer = server.ask(path, {**what, "df": columns})
                assert answer.status == 200, answer.body
    assert {row["transaction_id"] for _, row in place.records(4)} == set(names)


def test_plain_views_keep_what_feast_does(tmp_path: Path) -> None:
    (tmp_path / "headrace.toml").write_text(
        '[project]\nname = "fraud"\ndefinitions = ["headrace_features.fraud.definitions"]\n',
        encoding="utf-8",
    )
    shutil.copytree(REPOSITORY, tmp_path / "feature_repo")
    rows = pd.DataFrame(
        {"shop_id": ["s1"], "rating": [4.5], "event_timestamp": [datetime.now(UTC)]}
    )
    rows.to_parquet(tmp_path / "feature_repo" / "shops.parquet")
    plain: dict[str, Any] = {}
    with warnings.catch_warnings():
        # Feast warns of its own defaults.
        warnings.simplefilter("ignore")
        store = feast.FeatureStore(repo_path=str(tmp_path / "feature_repo"))
        exec(PLAIN, plain)  # noqa: S102 - our own text
        store.apply([plain["shop"], plain["shop_rating"]])
    store.push("shop_push", rows)
    asked: Any = [{"shop_id": "s1"}]
    found = store.get_online_features(features=["shop_rating:rating"], entity_rows=asked)
    assert found.to_dict()["rating"] == [4.5]
    with pytest.raises(feast.errors.PushSourceNotFoundException):
        store.push("no_push", rows)


def test_plain_views_of_the_same_push_source_get_rows(
    place: Place, store: feast.FeatureStore
) -> None:
    with warnings.catch_warnings():
        # Feast warns of its own defaults.
        warnings.simplefilter("ignore")
        seen = feast.FeatureView(
            name="seen",
            entities=[store.get_entity("card")],
            schema=[feast.Field(name="amount_minor", dtype=feast.types.Int64)],
            source=store.get_data_source("transactions_push"),
        )
        store.apply([seen])
    try:
        one = event("shared", event_time=datetime.now(UTC))
        store.push("transactions_push", frame(one))
        asked: Any = [{"card_id": one["card_id"]}]
        found = store.get_online_features(["seen:amount_minor"], asked).to_dict()
        assert found["amount_minor"] == [one["amount_minor"]]
        ((_, sent),) = place.records(1)
        assert sent["transaction_id"] == "shared"
    finally:
        store.delete_feature_view("seen")


def test_push_sources_change_no_meaning(place: Place, store: feast.FeatureStore) -> None:
    changes = pending_changes(place.settings, load_project(place.settings))
    assert {change.kind for change in changes} == {"unchanged"}
    view = store.get_feature_view("card_activity")
    assert view.stream_source is not None
    assert view.stream_source.name == "transactions_push"
    assert view.batch_source is not None
    assert view.batch_source.name == "transactions"
    pushes.install()
    assert feast.FeatureStore.push is pushes.push


def test_without_a_broker_a_push_says_that_it_can_be_repeated(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    repository.apply(settings, load_project(settings))
    store = repository.feature_store(settings)
    with pytest.raises(RetryableError, match="headrace up"):
        store.push("transactions_push", frame(event("a")))
