"""Reads beside writers: as fields change and batch layers move on, nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest

from headrace_features import Count, FeatureReader, Sliding, Sum
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.online.layers import Had
from headrace_features.online.redis_connection import RedisConnection
from headrace_features.online.redis_store import RedisStateStore
from headrace_features.online.served import entity_key, view_key
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_features.online.store import Row, StateStore
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.events import block_of, encode_events, in_order
from headrace_features.partials.plan import plan_of
from headrace_features.state.build import build
from headrace_features.state.layout import layout_of
from histories import as_table, reading, view_with
from online_stores import apply, change, make_whole
from redis_servers import redis_cluster, redis_server

VIEW = view_with(Count(windows=[Sliding("60d")]), Sum("amount", windows=[Sliding("60d")]))
PLAN = plan_of(VIEW)
COUNT, SUM = (f"{VIEW.name}__{name}" for name in VIEW.feature_names)
FIRST_MS = 19_000 * DAY_MS
DAYS, PER_DAY = 30, 8
NOW_MS = FIRST_MS + DAYS * DAY_MS
ENTITIES = ("a", "b", "c")


@pytest.fixture(params=["sqlite", "redis", "cluster"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    """An empty store of each kind."""
    if request.param == "sqlite":
        yield SqliteStateStore(tmp_path / "online.db")
        return
    started = redis_server() if request.param == "redis" else redis_cluster()
    with started as servers, closing(RedisConnection(servers.access())) as connection:
        # Far longer than a read takes of a cluster.
        patience_s = 0.5 if request.param == "cluster" else None
        yield RedisStateStore(connection, "project", patience_s)


class Writer:
    """Puts one event after the other into the stream layer, and days into the batch layer."""

    def __init__(self, store: StateStore) -> None:
        self.written = 0
        self.done = Event()
        self.error: Exception | None = None
        self._store = store
        self._times = [
            FIRST_MS + day * DAY_MS + number * HOUR_MS
            for day in range(DAYS)
            for number in range(PER_DAY)
        ]

    def run(self) -> None:
        """Write all of them."""
        try:
            for count, time_ms in enumerate(self._times, start=1):
                self._stream(count, time_ms)
                self.written = count
                if count % PER_DAY == 0:
                    self._materialize(count)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error
        finally:
            self.done.set()

    def _stream(self, count: int, time_ms: int) -> None:
        day = time_ms // DAY_MS
        of_day = [ms for ms in self._times[:count] if ms // DAY_MS == day]
        content = encode_events(self._block(of_day))
        apply(
            self._store,
            *(
                change(f"r{day}", 1, count, content, view=view_key(VIEW), entity=entity)
                for entity in ENTITIES
            ),
        )

    def _materialize(self, count: int) -> None:
        boundary_ms = (self._times[count - 1] // DAY_MS + 1) * DAY_MS
        fields = build(PLAN, layout_of(VIEW, boundary_ms), self._block(self._times[:count]))
        # The first is built anew, each other one goes on from what there is.
        goes_on = (count // PER_DAY) % 2 == 0
        generation = self._store.begin(view_key(VIEW), boundary_ms, goes_on=goes_on)
        keys = list(map(entity_key, ENTITIES))
        held = self._store.kept(generation, [(key, None) for key in keys] if goes_on else [])
        rows = [Row(key, *one) for key in keys for one in fields.items()]
        rows += [
            Row(key, name, b"")
            for key, before in zip(keys, held, strict=False)
            for name in before.keys() - fields.keys()
        ]
        self._store.write(generation, rows)
        self._store.publish(generation, Had.until(generation, boundary_ms))

    def _block(self, times_ms: list[int]) -> EventBlock:
        events = [reading(f"e{ms}", ms, amount=3) for ms in times_ms]
        return in_order(block_of(VIEW, PLAN, as_table(VIEW, events)))


def test_a_reader_finds_each_event_once_whatever_is_written_meanwhile(store: StateStore) -> None:
    make_whole(store, view_key(VIEW))
    reader = FeatureReader(store, [VIEW.select(*VIEW.feature_names)], clock_ms=lambda: NOW_MS)
    writer = Writer(store)
    thread = Thread(target=writer.run)
    thread.start()
    reads = 0
    rows = [{"sensor": entity} for entity in ENTITIES]
    try:
        while not writer.done.is_set():
            before = writer.written
            found = reader.read(rows)
            # One more may be in the store than the writer knows of.
            after = writer.written + 1
            for row in found:
                assert before <= row[COUNT] <= after  # type: ignore[operator] # a number
                assert row[SUM] == 3 * row[COUNT]  # type: ignore[operator]
                assert not row.incomplete
            reads += 1
    finally:
        thread.join()
    assert writer.error is None, writer.error
    assert reads > 50
    assert [row[COUNT] for row in reader.read(rows)] == [DAYS * PER_DAY] * len(ENTITIES)
