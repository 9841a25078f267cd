"""Records go once nobody needs them: not the lake, no window, and no group of consumers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from deltalake import CommitProperties, DeltaTable, write_deltalake

from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.covered import recorded
from headrace_batch.warehouse import Warehouse
from headrace_features import Count, FeatureView, Sliding
from headrace_features.definitions.durations import DAY_MS
from headrace_features.fraud.definitions import card, transactions
from headrace_features.project import Project, load_project
from headrace_orchestration.state_report import state_report
from headrace_orchestration.topic_upkeep import keep_up_topics
from headrace_schemas.settings import Settings, load
from headrace_streaming.kafka.positions import Positions
from headrace_streaming.kafka.topics import create_topics, delete_topics, topics_of
from headrace_streaming.kafka.trimming import TopicUpkeep, _Admin
from streams import broker_in

NOW_MS = time.time_ns() // 1_000_000
#: Half of the records are so old that no window reaches them, on any of the days of the test.
OLD_MS, NEW_MS = NOW_MS - 20 * DAY_MS, NOW_MS - 3_600_000
EACH = 10
TOPIC = transactions.topic
view = FeatureView("spent", 1, card, transactions, [Count(windows=[Sliding("1d")])])


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, dict[str, str]]]:
    home = tmp_path_factory.mktemp("home")
    with broker_in(home) as config:
        yield load(home, {"HEADRACE_HOME": str(home)}), config


@pytest.fixture
def project(broker: tuple[Settings, dict[str, str]]) -> Iterator[Project]:
    """A project whose windows reach a day back, and a topic with old and with new records."""
    settings, config = broker
    found = replace(load_project(settings), views={view.name: view})
    create_topics(config, topics_of(found))
    producer = Producer(config)
    for sent_ms in (OLD_MS, NEW_MS):
        for number in range(4 * EACH):
            producer.produce(TOPIC, b"{}", partition=number % 4, timestamp=sent_ms)
    assert producer.flush(30) == 0
    yield found
    delete_topics(config, [one for one in topics_of(found) if one.name == TOPIC])


def has_taken_in(settings: Settings, config: Mapping[str, str], upto: int) -> None:
    """Note in the lake that it has each partition up to an offset."""
    table: DeltaTable = Warehouse.of(settings).create(
        transactions.table, contract_of(transactions).bronze_schema, partition_by=["event_date"]
    )
    offsets = dict.fromkeys(range(4), upto)
    properties = CommitProperties(
        app_transactions=recorded(TOPIC, _Admin(config).identity(TOPIC), offsets, {})
    )
    nothing = contract_of(transactions).bronze_schema.empty_table()
    write_deltalake(table, nothing, mode="append", commit_properties=properties)


def has_read(config: Mapping[str, str], group: str, upto: int) -> None:
    consumer = Consumer({**config, "group.id": group})
    places = [TopicPartition(TOPIC, number, upto) for number in range(4)]
    consumer.commit(offsets=places, asynchronous=False)
    consumer.close()


def looked_after(settings: Settings, project: Project, *, dry_run: bool = False) -> TopicUpkeep:
    found = keep_up_topics(settings, project, NOW_MS, dry_run=dry_run)
    return next(one for one in found if one.topic == TOPIC)


def oldest(config: Mapping[str, str]) -> set[int]:
    positions = Positions(config)
    found = {first for first, _ in positions.ends(TOPIC).values()}
    positions.close()
    return found


def test_what_the_lake_lacks_stays_and_it_is_told_until_when(
    broker: tuple[Settings, dict[str, str]], project: Project
) -> None:
    settings, config = broker
    found = looked_after(settings, project)
    assert (found.records, found.deleted, found.lacking) == (8 * EACH, 0, 8 * EACH)
    assert (found.kept_for, found.expires_ms) == ("the lake", OLD_MS + 30 * DAY_MS)
    has_taken_in(settings, config, EACH - 4)
    assert looked_after(settings, project, dry_run=True).deleted == 4 * (EACH - 4)
    assert oldest(config) == {0}
    found = looked_after(settings, project)
    assert (found.deleted, found.lacking) == (4 * (EACH - 4), 4 * (EACH + 4))
    assert oldest(config) == {EACH - 4}
    again = looked_after(settings, project)
    assert (again.records, again.deleted) == (4 * (EACH + 4), 0)


def test_what_windows_reach_stays_though_the_lake_has_it(
    broker: tuple[Settings, dict[str, str]], project: Project
) -> None:
    settings, config = broker
    has_taken_in(settings, config, 2 * EACH)
    endless = replace(project, views={"all": replace(view, name="all", aggregates=(Count(),))})
    found = looked_after(settings, endless)
    assert (found.deleted, found.kept_for) == (0, "windows without an end")
    found = looked_after(settings, project)
    assert (found.deleted, found.lacking, found.expires_ms) == (4 * EACH, 0, None)
    assert found.kept_for == "windows"
    assert oldest(config) == {EACH}


def test_what_a_group_has_yet_to_read_stays(
    broker: tuple[Settings, dict[str, str]], project: Project
) -> None:
    settings, config = broker
    has_taken_in(settings, config, 2 * EACH)
    has_read(config, "of-others", 3)
    found = looked_after(settings, project)
    assert (found.deleted, found.kept_for) == (4 * 3, "group of-others")
    has_read(config, "of-others", 2 * EACH)
    assert looked_after(settings, project).deleted == 4 * (EACH - 3)


def test_offsets_of_a_topic_that_had_the_name_before_delete_nothing(
    broker: tuple[Settings, dict[str, str]], project: Project
) -> None:
    # The lake knows the topic that another test has deleted.
    settings, config = broker
    assert looked_after(settings, project).kept_for == "the lake"
    assert oldest(config) == {0}


def test_a_topic_s_records_and_bytes_are_told(
    broker: tuple[Settings, dict[str, str]], project: Project, tmp_path: Path
) -> None:
    settings, _ = broker
    (found,) = (one for one in state_report(settings, project).topics if one.topic == TOPIC)
    assert found.records == 8 * EACH
    assert (found.size or 0) > 8 * EACH
    # A home in which there never was a broker has none, and nobody is asked.
    nowhere = load(tmp_path, {"HEADRACE_HOME": str(tmp_path)})
    assert state_report(nowhere, project).topics == []
    assert list(keep_up_topics(nowhere, project, NOW_MS, dry_run=False)) == []
