"""Whoever reads features gets the oracle's bits, while events come and batch layers move on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from headrace_batch.materialize import materialize_view
from headrace_features import FeatureReader, FeatureService
from headrace_features.definitions.views import SEPARATOR
from headrace_features.feast_plugin import repository
from headrace_features.online.served import view_key
from headrace_features.online.store import StateStore
from headrace_features.online.stores import open_store
from headrace_features.oracle import Row
from headrace_features.project import load_project
from headrace_schemas.settings import Settings, load
from headrace_streaming.writer.changes import DeclaredViews
from histories import as_table, bits
from lakes import unwatched, write_events
from online_stores import apply, make_whole
from operator_jvm import Jvm
from reader_definitions import COMPUTED, KEPT, VIEWS
from reader_story import EPOCH, Asked, Story, learning_story_of, story_of
from redis_servers import redis_server
from servers import Server, headrace_server

Columns = Mapping[str, Sequence[Any]]

PROJECT = """\
home = "."
[project]
name = "readings"
definitions = ["reader_definitions"]
[serving]
timeout = "60s"
[online]
timeout = "20s"
"""
#: Where the server's process finds the definitions.
DEFINITIONS = str(Path(__file__).parents[1])
SERVICES = (KEPT, COMPUTED)


@contextmanager
def online_store(kind: str) -> Iterator[str]:
    """What settings say of a store of a kind, which is there."""
    if kind == "sqlite":
        yield ""
    else:
        with redis_server() as server:
            yield f'type = "redis"\nredis_url = "{server.url}"\n'


@pytest.mark.parametrize(
    ("kind", "told", "seed"),
    [
        ("sqlite", story_of, 1),
        ("redis", story_of, 2),
        ("sqlite", learning_story_of, 4),
    ],
)
def test_all_who_read_get_the_oracle_s_values_while_the_stream_goes_on(
    kind: str, told: Callable[[int, Jvm], Story], seed: int, engine: Jvm, tmp_path: Path
) -> None:
    story = told(seed, engine)
    with online_store(kind) as more:
        (tmp_path / "headrace.toml").write_text(PROJECT + more, encoding="utf-8")
        settings = load(tmp_path, {})
        repository.apply(settings, load_project(settings))
        store = open_store(settings)
        for view in VIEWS:
            make_whole(store, view_key(view), epoch=EPOCH)
        with headrace_server(settings.home, PYTHONPATH=DEFINITIONS) as server:
            reading = Reading(settings, server)
            for step, service in zip(story.steps, cycle(SERVICES)):
                write(store, step.updates)
                into_the_lake(settings, step.events)
                if step.last is not None:
                    for view in VIEWS:
                        materialize_view(
                            settings, view, step.last, unwatched, streamed=story.learning
                        )
                if step.rows:
                    found = reading.online(service, step.rows)
                    require_the_oracle_s(service, step.rows, found, story)
        rows = list(story.expected)
        assert len(rows) > 100
        require_the_oracle_s(COMPUTED, rows, reading.history(rows), story)


def into_the_lake(settings: Settings, events: Mapping[str, Sequence[Row]]) -> None:
    """Add events to the tables of their sources."""
    for view in {view.source.name: view for view in VIEWS}.values():
        rows = events.get(view.source.name, ())
        if rows:
            write_events(settings, view.source.table, as_table(view, rows))


def write(store: StateStore, updates: Sequence[bytes]) -> None:
    """Write records as the online writer does."""
    declared = DeclaredViews(VIEWS)
    changes = [declared.change(update) for update in updates]
    apply(store, *(change for change in changes if change is not None))


class Reading:
    """The ways to read a project's features: each gives columns by `view__feature`."""

    def __init__(self, settings: Settings, server: Server) -> None:
        self._server = server
        self._store = repository.feature_store(settings)
        names = [service.name for service in SERVICES]
        self._registered = {name: self._store.get_feature_service(name) for name in names}
        self._readers = {
            name: FeatureReader.open(service=name, start=settings.home) for name in names
        }

    def online(self, service: FeatureService, rows: Sequence[Asked]) -> dict[str, Columns]:
        """The values of the online store, by the way that they are read."""
        read = self._readers[service.name].read(entity_rows(service, rows, MOMENTS))
        assert not any(row.incomplete for row in read)
        response = self._store.get_online_features(
            features=self._registered[service.name],
            entity_rows=entity_rows(service, rows, MOMENTS),
            full_feature_names=True,
        )
        sent = entity_rows(service, rows, MOMENTS[:2])
        request = {
            "feature_service": service.name,
            "entities": {name: [row[name] for row in sent] for name in sent[0]},
            "full_feature_names": True,
        }
        return {
            "reader": {name: [row[name] for row in read] for name in read[0]},
            "dictionary": response.to_dict(),
            "frame": in_frame(response.to_df()),
            "server": self._server.ask("/get-online-features", request).columns,
        }

    def history(self, rows: Sequence[Asked]) -> dict[str, Columns]:
        """The values that the lake's events give, by the form in which they come."""
        spine = {
            "sensor": [row.sensor for row in rows],
            "station": [row.station for row in rows],
            "reading_id": [row.current for row in rows],
            "given": [row.given for row in rows],
            "number": pd.array([row.number for row in rows], pd.Int64Dtype()),
            "event_timestamp": pd.to_datetime([row.time_ms for row in rows], unit="ms", utc=True),
        }
        job = self._store.get_historical_features(
            pd.DataFrame(spine), self._registered[COMPUTED.name], full_feature_names=True
        )
        return {"table": job.to_arrow().to_pydict(), "frame": in_frame(job.to_df())}


def moment_of(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, UTC) + timedelta(milliseconds=time_ms % 1000)


#: How a time may be asked for: over HTTP as a number or a text, elsewhere as a moment too.
MOMENTS: tuple[Callable[[int], Any], ...] = (
    int,
    lambda time_ms: moment_of(time_ms).isoformat(),
    moment_of,
)


def entity_rows(
    service: FeatureService, rows: Sequence[Asked], moments: Sequence[Callable[[int], Any]]
) -> list[dict[str, Any]]:
    """Rows as requests have them, with their times in each of some forms."""
    return [
        {
            "sensor": row.sensor,
            "station": row.station,
            "as_of": moment(row.time_ms),
            "current_event": row.current,
            **({"given": row.given, "number": row.number} if service is COMPUTED else {}),
        }
        for row, moment in zip(rows, cycle(moments))
    ]


def in_frame(frame: pd.DataFrame) -> Columns:
    """The values of a frame, null as None."""
    return {
        str(name): [None if pd.isna(value) else value for value in column.tolist()]
        for name, column in frame.items()
    }


def require_the_oracle_s(
    service: FeatureService, rows: Sequence[Asked], found: Mapping[str, Columns], story: Story
) -> None:
    """See that each way gives all features of a service, with the oracle's bits in every row."""
    names = {f"{one.view.name}{SEPARATOR}{name}" for one in service.asked for name in one.names}
    wanted = {name: [bits(story.expected[row][name]) for row in rows] for name in names}
    for way, columns in found.items():
        assert {name for name in columns if SEPARATOR in name} == names, way
        for name in names:
            assert [bits(value) for value in columns[name]] == wanted[name], (way, name)
