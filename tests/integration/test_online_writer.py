"""The online writer between a real broker and real stores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined] # it is

from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_features.online.layers import ALWAYS_MS, NEVER_MS
from headrace_features.online.served import view_key
from headrace_features.online.store import StateStore
from headrace_features.online.stores import open_store
from headrace_features.project import load_project
from headrace_features.state.updates import UPDATE_ENCODING
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.event_times import MOST_AHEAD_MS
from headrace_schemas.settings import Settings, load
from headrace_schemas.topics import DEPLOYMENTS, FEATURE_UPDATES, Topic
from headrace_streaming.job.assembly import consumer_group
from headrace_streaming.kafka.epochs import Announcement, Started, claim_epoch
from headrace_streaming.kafka.reading import ends, reached
from headrace_streaming.kafka.topics import create_topics, delete_topics, existing_topics, topics_of
from headrace_streaming.writer.changes import OvertakenError
from headrace_streaming.writer.membership import writer_group
from headrace_streaming.writer.watch import OtherBrokerError
from live_run import until
from online_stores import layers_of
from online_updates import Traffic, Writing, until_written, writing
from redis_servers import redis_cluster, redis_server
from streams import broker_in

VIEWS = {view_key(view): view for view in (card_activity, terminal_risk)}
HOUR_MS = 3_600_000
KINDS = ("sqlite", "redis", "cluster")

Opened = Callable[[str], tuple[Settings, StateStore]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("writer")


@pytest.fixture(scope="module")
def traffic(home: Path) -> Iterator[Traffic]:
    """What all tests of the file send, to one broker; each has a store of its own."""
    with broker_in(home) as config:
        create_topics(config, topics_of(load_project(load(home, {"HEADRACE_HOME": str(home)}))))
        traffic = Traffic(config)
        traffic.send(3_000)
        yield traffic


@pytest.fixture
def opened(home: Path, tmp_path: Path) -> Iterator[Opened]:
    """Makes an empty store of a kind."""
    with ExitStack() as stack:

        def made(kind: str) -> tuple[Settings, StateStore]:
            environ = {"HEADRACE_HOME": str(home), "HEADRACE_ONLINE_TIMEOUT": "5s"}
            if kind == "sqlite":
                environ["HEADRACE_ONLINE_PATH"] = str(tmp_path / "online.db")
            elif kind == "redis":
                environ |= stack.enter_context(redis_server()).environ()
            else:
                environ |= stack.enter_context(redis_cluster()).environ()
            settings = load(home, environ)
            return settings, open_store(settings)

        yield made


@pytest.mark.parametrize("kind", KINDS)
def test_the_store_comes_to_have_the_newest_content_of_every_field(
    kind: str, traffic: Traffic, opened: Opened
) -> None:
    settings, store = opened(kind)
    with writing(settings) as writer:
        traffic.require_in(store)
        traffic.send(500)
        traffic.require_in(store)
        until(lambda: writer.partitions() == 4, "it has all partitions")
    assert writer.told == []
    assert writer.report is not None
    assert writer.report.updates == len(traffic.sent)
    assert writer.report.refused > 0
    # For those who look at lags.
    told = reached(traffic.config, writer_group("fraud"), FEATURE_UPDATES)
    assert told == {number: one.next_offset for number, one in store.progress().items()}


def test_a_single_update_is_in_the_store_at_once(traffic: Traffic, opened: Opened) -> None:
    settings, store = opened("sqlite")
    with writing(settings):
        traffic.require_in(store)
        waited = []
        for _ in range(5):
            before = sum(one.next_offset for one in store.progress().values())
            began = time.monotonic()
            traffic.send(1)
            while sum(one.next_offset for one in store.progress().values()) == before:
                assert time.monotonic() - began < 10
            waited.append(time.monotonic() - began)
    # Of several, as the machine is shared.
    assert min(waited) < 0.25


def test_a_writer_goes_on_where_the_store_is(traffic: Traffic, opened: Opened) -> None:
    settings, store = opened("redis")
    with writing(settings):
        traffic.require_in(store)
    traffic.send(100)
    with writing(settings) as second:
        traffic.require_in(store)
    assert second.report is not None
    assert second.report.updates == 100


def test_two_writers_share_the_partitions_and_one_takes_all_when_the_other_ends(
    traffic: Traffic, opened: Opened
) -> None:
    settings, store = opened("sqlite")
    with writing(settings) as first:
        until(lambda: first.partitions() == 4, "one has all")
        with writing(settings) as second:
            traffic.send(300)
            until(lambda: first.partitions() == second.partitions() == 2, "they share")
            traffic.send(300)
            traffic.require_in(store)
        traffic.send(300)
        traffic.require_in(store)
        until(lambda: first.partitions() == 4, "one has all again")


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_store_that_is_emptied_while_nothing_comes_is_filled_again(
    kind: str, traffic: Traffic, opened: Opened
) -> None:
    settings, store = opened(kind)
    with writing(settings):
        traffic.require_in(store)
        store.remove()
        traffic.require_in(store)
        store.remove()
        traffic.send(50)
        traffic.require_in(store)


def test_what_the_project_does_not_declare_and_what_can_not_be_read_is_passed_over(
    traffic: Traffic, opened: Opened
) -> None:
    settings, store = opened("sqlite")
    one = msgspec.structs.asdict(traffic.sent[0])
    strange: list[dict[str, object]] = [
        {"view": "other"},
        {"version": 9},
        {"fingerprint": "of another meaning"},
    ]
    for other in strange:
        traffic.put(msgspec.msgpack.encode(one | other), "strange")
    for value in (None, b"", b"\xff", msgspec.msgpack.encode(one | {"encoding": 0})):
        traffic.put(value, "spoilt")
    traffic.flush()
    with writing(settings) as writer:
        traffic.require_in(store)
    assert writer.report is not None
    assert (writer.report.undeclared, writer.report.unreadable) == (3, 4)
    assert any("updates can't be read and are passed over" in line for line in writer.told)


def test_deployments_tell_since_when_views_are_complete(traffic: Traffic, opened: Opened) -> None:
    settings, store = opened("redis")
    config = traffic.config
    producer = Producer({**config, "log_level": 0})
    # Not so long ago that the broker would delete them.
    sent_ms = time.time_ns() // 1_000_000 - HOUR_MS
    for place in range(3):
        producer.produce("transactions", b"{}", partition=1, timestamp=sent_ms + place)
    assert producer.flush(30) == 0
    told = Announcement(
        project="fraud",
        mode="immediate",
        starts={"transactions": {0: 0, 1: 0}, "transaction_labels": {0: 0}},
        lateness_ms=500,
        views=list(VIEWS),
    )
    card, terminal = VIEWS
    claim_epoch(config, msgspec.structs.replace(told, project="other", views=[card, terminal]))
    with writing(settings):
        until_written(store, config)
        assert layers_of(store, card).stream is not None
        assert since(store, card) == NEVER_MS
        first = claim_epoch(config, told)
        until(lambda: since(store, card) == since(store, terminal) == ALWAYS_MS, "both are whole")
        later = {"transactions": {0: 0, 1: 1}, "transaction_labels": {0: 0}}
        second = claim_epoch(config, msgspec.structs.replace(told, starts=later))
        assert second > first
        until(
            lambda: since(store, card) == sent_ms + 1 + MOST_AHEAD_MS,
            "the first record was not read",
        )
        assert since(store, terminal) == ALWAYS_MS
        # Whoever goes on from it changes nothing.
        on = Announcement(project="fraud", mode="immediate", restored_from="s", newest_state=True)
        start(config, claim_epoch(config, on), second)
        # A store that was emptied is told again, when it is whole.
        store.remove()
        until(lambda: since(store, card) == sent_ms + 1 + MOST_AHEAD_MS, "it is known again")
        traffic.require_in(store)
    span = layers_of(store, card).stream
    assert span is not None
    assert span.epoch == second


def test_what_a_deployment_left_that_was_given_up_is_not_taken_for_whole(
    traffic: Traffic, opened: Opened
) -> None:
    settings, store = opened("sqlite")
    config = traffic.config
    card, terminal = VIEWS
    told = Announcement(project="fraud", mode="immediate", starts={}, views=[card, terminal])
    first = claim_epoch(config, told)
    start(config, first, 0)
    with writing(settings) as writer:
        until(lambda: since(store, card) == ALWAYS_MS, "it is whole")
        aside = claim_epoch(config, msgspec.structs.replace(told, views=[card]))
        start(config, aside, 0)
        until(lambda: epoch_of(store, card) == aside, "another one has begun anew")
        announced_ms = time.time_ns() // 1_000_000
        back = claim_epoch(config, msgspec.structs.replace(told, restored_from="of the first"))
        looks = writer.looks()
        until(lambda: writer.looks() > looks + 1, "it is known of")
        assert epoch_of(store, card) == aside, "what it goes on from isn't"
        start(config, back, first)
        until(lambda: epoch_of(store, card) == back, "it has started")
        assert 0 <= (since(store, card) or 0) - announced_ms - MOST_AHEAD_MS < HOUR_MS
        # Of the other view the first one's fields are still there.
        until(lambda: since(store, terminal) == ALWAYS_MS, "that one is whole")


def start(config: Mapping[str, str], epoch: int, goes_on_from: int) -> None:
    """Have a deployment's job start."""
    producer = Producer({**config, "log_level": 0})
    began = msgspec.json.encode(Started(epoch, goes_on_from))
    producer.produce(DEPLOYMENTS, began, b"fraud")
    assert producer.flush(30) == 0


def epoch_of(store: StateStore, view: str) -> int | None:
    span = layers_of(store, view).stream
    return None if span is None else span.epoch


def since(store: StateStore, view: str) -> int | None:
    span = layers_of(store, view).stream
    return None if span is None else span.since_ms


def test_the_store_knows_up_to_when_it_has_what_was_sent(traffic: Traffic, opened: Opened) -> None:
    settings, store = opened("redis")
    config = traffic.config
    card, terminal = VIEWS
    told = Announcement(project="fraud", mode="immediate", starts={}, views=list(VIEWS))
    job = Reading(config, claim_epoch(config, told))
    put(config, "transactions", 1)
    with writing(settings):
        # Nobody has told that it reads: of labels there is nothing to read.
        until(lambda: current_ms(store, terminal) > 0, "one view has all")
        assert current_ms(store, card) == 0
        job.tells("transactions", ends(config, "transactions"))
        until(lambda: current_ms(store, card) > 0, "both have all")
        put(config, "transactions", 1)
        sent_ms = time.time_ns() // 1_000_000
        until(lambda: current_ms(store, terminal) > sent_ms, "the other one goes on")
        assert current_ms(store, card) <= sent_ms
        held = ends(config, "transactions")
        # It ends with what is no record, of which nobody tells.
        put(config, "transactions", 1, transaction="test")
        end = held[1][1] + 2
        # The broker writes the marker after it has answered.
        until(lambda: ends(config, "transactions")[1][1] == end, "the transaction is whole")
        job.tells("transactions", {**held, 1: (0, end - 1)})
        sent_ms = time.time_ns() // 1_000_000
        until(lambda: current_ms(store, card) > sent_ms, "it has all")
        assert current_ms(store, card) <= time.time_ns() // 1_000_000
        # The next deployment has told nothing yet.
        told = msgspec.structs.replace(told, restored_from="a state", newest_state=True)
        on = claim_epoch(config, told)
        start(config, on, job.epoch)
        put(config, "transactions", 1)
        sent_ms = time.time_ns() // 1_000_000
        until(lambda: current_ms(store, terminal) > sent_ms, "the other one goes on")
        assert 0 < current_ms(store, card) <= sent_ms
        # One that goes on from an older state takes in again what the store has.
        start(config, claim_epoch(config, msgspec.structs.replace(told, newest_state=False)), on)
        until(lambda: current_ms(store, card) == 0, "it isn't known of that one")
        assert since(store, card) == ALWAYS_MS


def test_in_ordered_mode_the_store_has_what_the_watermark_has_passed(
    traffic: Traffic, opened: Opened
) -> None:
    settings, store = opened("sqlite")
    config = traffic.config
    card, terminal = VIEWS
    told = Announcement(project="fraud", mode="ordered", starts={}, views=list(VIEWS))
    epoch = claim_epoch(config, told)
    decide(config, epoch - 1, 9_000)
    decide(config, epoch, 5_000)
    decide(config, epoch, 4_000)
    job = Reading(config, epoch)
    job.tells("transactions", ends(config, "transactions"))
    with writing(settings):
        until(lambda: current_ms(store, card) == 5_000, "it has come as far as a decision")
        until(lambda: current_ms(store, terminal) == 5_000, "likewise")
        decide(config, epoch, "no time at all")
        # What has been read waits, until something later is decided.
        put(config, "transactions", 1)
        job.tells("transactions", ends(config, "transactions"))
        sent_ms = time.time_ns() // 1_000_000
        decide(config, epoch, sent_ms + HOUR_MS)
        until(lambda: current_ms(store, card) > 5_000, "it has come further")
        # What will be sent yet isn't there, whatever time it may have.
        assert current_ms(store, card) <= time.time_ns() // 1_000_000


def decide(config: Mapping[str, str], epoch: int, event_time: int | str) -> None:
    """Tell of a decision of the deployment."""
    made = {"project": "fraud", "decision": "fraud", "epoch": epoch}
    decision = msgspec.json.encode({**made, "event": {"event_time": event_time}})
    producer = Producer({**config, "log_level": 0})
    producer.produce("decisions", decision)
    assert producer.flush(30) == 0


def current_ms(store: StateStore, view: str) -> int:
    span = layers_of(store, view).stream
    return 0 if span is None else span.current_ms


def put(
    config: Mapping[str, str], topic: str, partition: int, transaction: str | None = None
) -> None:
    """Send a record, perhaps in a transaction."""
    options = {} if transaction is None else {"transactional.id": transaction}
    producer = Producer({**config, **options, "log_level": 0})
    if transaction is not None:
        producer.init_transactions(30)
        producer.begin_transaction()
    producer.produce(topic, b"{}", partition=partition)
    if transaction is None:
        assert producer.flush(30) == 0
    else:
        producer.commit_transaction(30)


class Reading:
    """The job of a deployment, as far as it tells what it has read."""

    def __init__(self, config: Mapping[str, str], epoch: int) -> None:
        self.epoch = epoch
        self._config = {**config, "group.id": consumer_group("fraud", epoch)}

    def tells(self, topic: str, places: Mapping[int, tuple[int, int]]) -> None:
        """It has read all before the second offset of each partition."""
        with closing(Consumer(self._config)) as consumer:
            offsets = [TopicPartition(topic, number, end) for number, (_, end) in places.items()]
            consumer.commit(offsets=offsets, asynchronous=False)


def test_what_a_writer_passed_over_is_written_once_a_writer_knows_of_the_view(
    traffic: Traffic, opened: Opened
) -> None:
    settings, store = opened("redis")
    with writing(settings, ["card_activity"]) as narrow:
        until_written(store, traffic.config)
        until(lambda: bool(narrow.status and narrow.status.undeclared), "it has passed some over")
    # Whoever knows of all views reads again what the first has passed over.
    old = Writing(settings, ["card_activity"])
    until(lambda: old.partitions() > 0, "it runs")
    with writing(settings) as wide:
        traffic.require_in(store)
        until(old.ended, "the other one has ended")
        assert isinstance(old.error, OvertakenError)
        assert "start it again" in str(old.error)
        traffic.send(200)
        traffic.require_in(store)
    assert any("all is read again" in line for line in wide.told)


def what_ends_a_writer(settings: Settings) -> Exception | None:
    """The error with which a writer ends by itself."""
    writer = Writing(settings)
    try:
        until(writer.ended, "it ends by itself")
    finally:
        writer.end()
    return writer.error


def test_a_store_is_not_filled_from_another_broker_than_it_came_from(
    traffic: Traffic, opened: Opened
) -> None:
    settings, store = opened("sqlite")
    (_, end) = ends(traffic.config, DEPLOYMENTS)[0]
    store.covers(next(iter(VIEWS)), end + 1, ALWAYS_MS)
    error = what_ends_a_writer(settings)
    assert isinstance(error, OtherBrokerError)
    assert f"state of deployment {end + 1}" in str(error)
    store.remove()
    with writing(settings):
        traffic.require_in(store)


def test_updates_are_kept_longer_once_windows_reach_further(traffic: Traffic) -> None:
    admin = AdminClient({**traffic.config})

    def kept() -> tuple[str | None, str | None]:
        resource = ConfigResource("topic", "kept")
        (told,) = admin.describe_configs([resource]).values()
        found = told.result()
        return found["retention.ms"].value, found["cleanup.policy"].value

    def wanted(retention_ms: int) -> None:
        create_topics(traffic.config, [Topic("kept", "k", 1, retention_ms, compacted=True)])

    wanted(5 * HOUR_MS)
    until(lambda: "kept" in existing_topics(traffic.config), "it is there")
    wanted(9 * HOUR_MS)
    until(lambda: kept() == (str(9 * HOUR_MS), "compact,delete"), "it is kept longer")
    # Another project may need it.
    wanted(HOUR_MS)
    assert kept() == (str(9 * HOUR_MS), "compact,delete")
    wanted(-1)
    until(lambda: kept() == ("-1", "compact"), "it is kept for ever")
    wanted(9 * HOUR_MS)
    assert kept() == ("-1", "compact")


def test_updates_of_a_newer_release_end_it_in_one_line(traffic: Traffic, opened: Opened) -> None:
    settings, _ = opened("sqlite")
    one = msgspec.structs.asdict(traffic.sent[0])
    newer = msgspec.msgpack.encode(one | {"encoding": UPDATE_ENCODING + 1})
    traffic.put(newer, "newer")
    traffic.flush()
    error = what_ends_a_writer(settings)
    assert isinstance(error, ConfigurationError)
    assert "upgrade the online writer" in str(error)


def test_a_topic_that_was_made_anew_is_read_whole(traffic: Traffic, opened: Opened) -> None:
    settings, store = opened("sqlite")
    (topic,) = [one for one in topics_of(load_project(settings)) if one.name == FEATURE_UPDATES]
    config = traffic.config
    delete_topics(config, [topic])
    until(lambda: bool(create_topics(config, [topic])), "it is made anew")
    with writing(settings):
        anew = Traffic(config, seed=2)
        anew.send(400)
        anew.require_in(store)
        delete_topics(config, [topic])
        until(lambda: bool(create_topics(config, [topic])), "it is made anew")
        third = Traffic(config, seed=3)
        third.send(100)
        assert all(end < 400 for _, end in ends(config, FEATURE_UPDATES).values())
        until_written(store, config)
    anew.sent += third.sent
    anew.require_same(store)
