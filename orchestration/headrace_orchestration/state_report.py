"""How large everything is that a project keeps: tables, online store, topics, checkpoints."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_batch.table_files import TableSize, lake_tables, table_size
from headrace_batch.warehouse import Warehouse
from headrace_features.online.stores import open_store
from headrace_orchestration.topic_upkeep import has_broker
from headrace_schemas.errors import RetryableError
from headrace_schemas.setting_table import EMBEDDED
from headrace_schemas.topics import DECISIONS, FEATURE_UPDATES, LATE_EVENTS
from headrace_streaming.job.state_folders import StateFolder, state_folders
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.positions import Positions
from headrace_streaming.kafka.topics import existing_topics, topics_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from headrace_features.online.layers import LayerSize
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class ViewSize:
    """What a layer of a view takes in the online store.

    Attributes:
        view: its name.
        version: which one of it.
        namespace: of the stream that writes it; "" is the first, and where batch alone does.
        layer: `batch` or `stream`.
        entities: how many have fields in it.
        fields: how many these are.
        size: in bytes.
    """

    view: str
    version: str
    namespace: str
    layer: str
    entities: int
    fields: int
    size: int


@dataclass(frozen=True, slots=True)
class TopicSize:
    """How large a topic is.

    Attributes:
        topic: its name.
        records: how many offsets it spans; of one that keeps the newest of a key, fewer are left.
        size: in bytes; None where the broker is another one than the embedded.
    """

    topic: str
    records: int
    size: int | None


@dataclass(frozen=True, slots=True)
class StateReport:
    """How large everything is.

    Attributes:
        tables: of the lake.
        online: layers of views in the online store.
        topics: of the project; none where no broker answers.
        checkpoints: and savepoints, in the home.
        missing: what could not be looked at, and why.
    """

    tables: list[TableSize]
    online: list[ViewSize]
    topics: list[TopicSize]
    checkpoints: list[StateFolder]
    missing: list[str]


def state_report(settings: Settings, project: Project) -> StateReport:
    """Look at everything; what doesn't answer is left out, and said to be missing.

    Raises:
        ConfigurationError: a table, or the store, can't be read.
    """
    missing: list[str] = []
    warehouse = Warehouse.of(settings)
    tables: list[TableSize] = []
    online: list[ViewSize] = []
    topics: list[TopicSize] = []
    folders: list[StateFolder] = []
    try:
        named = [source.table for source in project.sources.values()]
        tables = [table_size(warehouse, name) for name in lake_tables(warehouse, named)]
    except RetryableError as error:
        missing.append(f"tables: {error}")
    try:
        online = [_of_view(one) for one in open_store(settings).sizes()]
    except RetryableError as error:
        missing.append(f"online: {error}")
    try:
        topics = _topics(settings, project) if has_broker(settings) else []
    except RetryableError as error:
        missing.append(f"topics: {error}")
    try:
        folders = state_folders(settings)
    except RetryableError as error:
        missing.append(f"checkpoints: {error}")
    return StateReport(tables, online, topics, folders, missing)


def _of_view(one: LayerSize) -> ViewSize:
    key, _, namespace = one.view.partition("@")
    name, version, _ = key.split(":")
    return ViewSize(name, version, namespace, one.layer, one.entities, one.fields, one.size)


def _topics(settings: Settings, project: Project) -> list[TopicSize]:
    config = kafka_config(settings)
    own = {topic.name for topic in topics_of(project)}
    apart = tuple(f"{name}.{project.name}." for name in (DECISIONS, LATE_EVENTS, FEATURE_UPDATES))
    names = sorted(t for t in existing_topics(config) if t in own or t.startswith(apart))
    sizes = _embedded_sizes(settings)
    with closing(Positions(config)) as positions:
        return [
            TopicSize(
                name,
                sum(end - oldest for oldest, end in positions.ends(name).values()),
                None if sizes is None else sizes.get(name, 0),
            )
            for name in names
        ]


def _embedded_sizes(settings: Settings) -> Mapping[str, int] | None:
    """The bytes of each topic of the embedded broker; None where it is another one."""
    if settings.kafka.bootstrap_servers != EMBEDDED:
        return None
    found: dict[str, int] = {}
    for folder in (settings.home / "kafka" / "data").glob("*-*"):
        topic = folder.name.rpartition("-")[0]
        found[topic] = found.get(topic, 0) + sum(map(_size, folder.glob("*")))
    return found


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        # Deleted since it was listed.
        return 0
