"""What every online store promises where a stream is written several times over."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from headrace_features.online import redis_contents, redis_scripts, redis_store, sqlite_contents
from headrace_features.online.layers import NO_LAYERS
from headrace_features.online.redis_connection import RedisConnection
from headrace_features.online.redis_store import RedisStateStore
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_features.online.store import (
    AsyncReads,
    Change,
    Noted,
    Progress,
    Reading,
    Row,
    StateStore,
    Wanted,
    Written,
)
from headrace_features.online.stores import open_store
from headrace_schemas.errors import RetryableError
from headrace_schemas.settings import load
from online_stores import apply, batch_of, change, layers_of, publish, stream_of

Opened = Callable[[str], StateStore]
VIEW, BESIDE = "a:v1:ff", "a:v1:ff@new"
#: They look like other keys, or like patterns of them.
ENTITIES = [
    "card",
    "",
    "a:b",
    "}{",
    "*",
    "x}:a:v1:ff",
    "x}:a:v1:ff:s",
    "x}:a:v1:ff@new:s",
    "}:a:v1:ff:b1",
    "a\nb",
]


@pytest.fixture(params=["sqlite", "redis", "cluster"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """What opens one empty store of each kind, for a namespace."""
    if request.param == "sqlite":
        yield lambda namespace: SqliteStateStore(tmp_path / "online.db", namespace=namespace)
        return
    started = request.getfixturevalue("server" if request.param == "redis" else "cluster")
    with closing(RedisConnection(started.access())) as connection:
        yield lambda namespace: RedisStateStore(
            connection, "project", patience_s=0.0, namespace=namespace
        )
        with connection.commands() as client:
            client.flushall()


@pytest.fixture
def store(opened: Opened) -> StateStore:
    """An empty store of each kind, of the first namespace."""
    return opened("")


def test_versions_are_noted_only_over_those_that_the_writer_knows_of(store: StateStore) -> None:
    assert store.versions() == Noted(0, b"")
    assert not store.note_versions(b"early", 1)
    assert store.versions() == Noted(0, b"")
    assert store.note_versions(b"\x00 one \xff", 0)
    assert store.versions() == Noted(1, b"\x00 one \xff")
    for held in (0, 2):
        assert not store.note_versions(b"other", held)
    assert store.note_versions(b"", 1)
    assert store.versions() == Noted(2, b"")


def test_of_two_who_note_versions_at_once_one_does(opened: Opened) -> None:
    rounds, start = 40, Barrier(2)
    writers = [opened(""), opened("new")]

    def notes(writer: int) -> list[bool]:
        done = []
        for held in range(rounds):
            start.wait(timeout=30)
            done.append(writers[writer].note_versions(b"%d of %d" % (held, writer), held))
            start.wait(timeout=30)
        return done

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(notes, (0, 1))
    assert [one + other for one, other in zip(first, second, strict=True)] == [1] * rounds
    last = 0 if first[-1] else 1
    assert writers[0].versions() == Noted(rounds, b"%d of %d" % (rounds - 1, last))


def test_versions_whose_noting_nobody_heard_of_are_noted(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated = redis_scripts.evaluated

    def twice(client: Any, calls: Iterable[redis_scripts.Call]) -> list[Any]:
        evaluated(client, calls)
        return evaluated(client, calls)

    monkeypatch.setattr(redis_scripts, "evaluated", twice)
    assert store.note_versions(b"same", 0)
    assert not store.note_versions(b"same", 0)
    assert store.note_versions(b"same", 1)
    assert store.versions() == Noted(2, b"same")


def test_every_read_says_the_number_of_the_versions(store: StateStore) -> None:
    known = {"view": NO_LAYERS}
    wanted = [Wanted("view", [b"card", b"other"], None)]

    async def of_tasks(reads: AsyncReads) -> list[Reading]:
        found = [await reads.read_async(*asked) for asked in asked_for]
        await reads.aclose()
        return found

    asked_for: list[tuple[Any, Any]] = [({}, ()), (known, ()), (known, wanted)]
    for number in range(3):
        readings = [store.read(*asked) for asked in asked_for]
        assert [one.versions for one in readings] == [number] * 3
        if isinstance(store, AsyncReads):
            assert asyncio.run(of_tasks(store)) == readings
        # What was found is none where the layers are others by now.
        assert [one.found is None for one in readings] == [False, number > 0, number > 0]
        publish(store, "view", {b"card": {"r1": b"1"}}, number)
        assert store.note_versions(b"next", number)


def test_removing_keeps_the_versions(opened: Opened) -> None:
    store = opened("")
    assert store.note_versions(b"one", 0)
    publish(store, "view", {b"card": {"r1": b"old"}}, 1)
    for namespace in ("", "new", "other"):
        opened(namespace).include(["view"])
        apply(opened(namespace), change("r1", 1, 1, b"a"))
    store.remove()
    assert store.versions() == Noted(1, b"one")
    assert store.read({}, ()).versions == 1
    assert not store.note_versions(b"two", 0)
    assert store.note_versions(b"two", 1)
    assert layers_of(store, "view") == NO_LAYERS
    for namespace in ("", "new", "other"):
        assert opened(namespace).progress() == {}


def test_how_far_a_stream_has_come_is_noted_by_namespace(opened: Opened) -> None:
    first, second = opened(""), opened("new")
    apply(first, change("r1", 1, 1, b"a", view=VIEW), upto=500)
    assert second.progress() == {}
    apply(second, change("r1", 1, 1, b"b", view=BESIDE), upto=20, now_ms=8)
    apply(second, change("r2", 1, 1, b"c", view=BESIDE), partition=1)
    assert first.progress() == {0: Progress(500, 7)}
    assert second.progress() == {0: Progress(20, 8), 1: Progress(1, 7)}
    # Neither is where the other one is.
    assert apply(second, upto=510, held=500).resume == {0: 20}
    assert apply(first, upto=30, held=20).resume == {0: 500}
    # All else is of both.
    assert stream_of(first, BESIDE, b"card") == {"r1": b"b", "r2": b"c"}
    assert stream_of(second, VIEW, b"card") == {"r1": b"a"}


def test_a_writer_of_one_namespace_has_no_other_begin_again(opened: Opened) -> None:
    first, second = opened(""), opened("new")
    assert not first.include([VIEW])
    assert not written(first, -1, 500, VIEW).overtaken
    assert not second.include([BESIDE])
    assert not written(second, -1, 20, BESIDE).overtaken
    assert not written(first, 500, 510, VIEW).overtaken
    assert second.include([BESIDE, "b:v1:x@new"])
    assert second.progress() == {}
    assert not first.include([VIEW])
    assert first.progress() == {0: Progress(510, 1)}
    assert written(second, 20, 30, BESIDE).overtaken


def written(store: StateStore, held: int, upto: int, *views: str) -> Written:
    """What becomes of the progress of a writer of some views."""
    return store.apply((), {0: Progress(upto, 1)}, {0: held}, 1, views)


def test_what_a_namespace_has_written_while_all_is_removed_is_not_taken_for_whole(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened("new")
    if isinstance(store, SqliteStateStore):
        return
    for entity in ("a", "b", "c"):
        apply(store, change("r1", 1, 1, b"a", entity=entity), upto=500)
    batched = redis_scripts.batched

    def interrupted(found: Iterable[Any], count: int) -> Iterator[Any]:
        for number, some in enumerate(batched(found, min(count, 1))):
            if number == 2:
                apply(store, change("r1", 1, 1, b"a", entity="a"), upto=510)
            yield some

    monkeypatch.setattr(redis_store, "batched", interrupted)
    opened("").remove()
    assert store.progress() == {}


def test_the_contents_of_a_view_are_those_that_are_in_its_stream_layer(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [*store.contents(VIEW)] == []
    in_small_steps(monkeypatch)
    expected = set()
    for view in (VIEW, BESIDE, "a:v1:f", "b:a:v1:ff"):
        publish(store, view, {entity.encode(): {"r9": b"batch"} for entity in ENTITIES}, 1)
        for entity in ENTITIES:
            fields = {"r1": b"one", "r2": b"two", "r3": b"\x00\xff"}
            changes = [change(*of, view=view, entity=entity) for of in changes_of(fields, 2)]
            later = [("r2", 3, 1, b""), ("r3", 3, 1, b"three"), ("r1", 1, 9, b"older")]
            changes += [change(*of, view=view, entity=entity) for of in later]
            apply(store, *changes)
            content = f"{view} {entity}".encode()
            apply(store, change("r4", 2, 1, content, view=view, entity=entity))
            if view == VIEW:
                of = entity.encode()
                expected |= {(of, "r1", b"one"), (of, "r3", b"three"), (of, "r4", content)}
    found = [*store.contents(VIEW)]
    assert len(found) == len(expected)
    assert set(found) == expected


def changes_of(fields: dict[str, bytes], epoch: int) -> list[tuple[str, int, int, bytes]]:
    """What sets some fields."""
    return [(name, epoch, 1, content) for name, content in fields.items()]


def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have little looked at in each."""
    monkeypatch.setattr(sqlite_contents, "_AT_ONCE", 2)
    monkeypatch.setattr(redis_contents, "AT_ONCE", 2)


def test_who_looks_at_contents_may_read_and_write_meanwhile(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_small_steps(monkeypatch)
    keys = [f"e{number}" for number in range(20)]
    apply(store, *(change("r1", 1, 1, key.encode(), view=VIEW, entity=key) for key in keys))
    for entity, field, content in store.contents(VIEW):
        assert stream_of(store, VIEW, entity) == {"r1": content}
        apply(store, Change(BESIDE, entity, field, 1, 1, 1, content))
    copied = sorted(store.contents(BESIDE))
    assert copied == sorted(store.contents(VIEW))
    assert len(copied) == len(keys)
    # None is left open by who stops early.
    next(store.contents(VIEW))
    store.drop([VIEW])
    assert [*store.contents(VIEW)] == []


def test_contents_that_redis_says_twice_are_given_once(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    batched = redis_scripts.batched

    def again(found: Iterable[Any], count: int) -> Iterator[Any]:
        for some in batched(found, count):
            yield (*some, *some)
            yield some

    monkeypatch.setattr(redis_contents, "batched", again)
    in_small_steps(monkeypatch)
    keys = [f"e{number}" for number in range(9)]
    apply(store, *(change("r1", 1, 1, b"x", view=VIEW, entity=key) for key in keys))
    assert sorted(store.contents(VIEW)) == [(key.encode(), "r1", b"x") for key in keys]


def fill(store: StateStore, view: str) -> None:
    """Both layers of a view, and a generation that is being built."""
    rows = [Row(entity.encode(), name, b"batch") for entity in ENTITIES for name in ("r1", "r2")]
    publish(store, view, {row.entity: {"r1": b"first", "r2": b"batch"} for row in rows}, 1)
    store.write(store.begin(view, 2, goes_on=True), rows)
    changes = [change("r7", 1, 1, b"stream", view=view, entity=entity) for entity in ENTITIES]
    apply(store, *changes)
    store.covers(view, 1, 5)


def kept_of(store: StateStore, view: str) -> set[Any]:
    """Whatever there is of a view where a store has it."""
    if isinstance(store, SqliteStateStore):
        of_key, of_number = ("generation", "stream_span"), ("batch", "differing", "stream")
        with closing(sqlite3.connect(store.path)) as db:
            return {
                row
                for table in (*of_key, *of_number)
                for row in db.execute(
                    f"SELECT * FROM {table} WHERE view = "  # noqa: S608 - a name of ours
                    + ("?" if table in of_key else "(SELECT id FROM view WHERE key = ?)"),
                    (view,),
                )
            }
    assert isinstance(store, RedisStateStore)
    # Of an entity, whose key may have any bytes, or of none.
    of = re.compile(rb"(?s)project:(\{.*\}:)?%b(:[^}]*)?" % re.escape(view.encode()))
    with store.connection.commands() as client:
        return {key for key in client.scan_iter() if of.fullmatch(key)}


OTHERS = (BESIDE, "a:v1:f", "a:v1:ff@newer", "b:v1:ff", "aa:v1:ff")


def test_dropping_views_leaves_what_others_have(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_small_steps(monkeypatch)
    store, beside = opened(""), opened("new")
    assert store.note_versions(b"one", 0)
    for view in (VIEW, "c:v1:x", *OTHERS):
        fill(store, view)
    beside.include([BESIDE])
    apply(beside, upto=20)
    before = {view: kept_of(store, view) for view in OTHERS}
    # Of each entity there is something in both layers, and in the generation that is being built.
    assert all(len(kept) > 3 * len(ENTITIES) for kept in before.values())
    layers = {view: layers_of(store, view) for view in OTHERS}
    for _ in range(2):
        store.drop([VIEW, "c:v1:x", "none:v1:x"])
        for view in (VIEW, "c:v1:x"):
            assert not kept_of(store, view)
            assert layers_of(store, view) == NO_LAYERS
            assert stream_of(store, view, b"card") == {}
        assert store.progress() == {}
        assert {view: kept_of(store, view) for view in OTHERS} == before
        assert {view: layers_of(store, view) for view in OTHERS} == layers
        assert beside.progress() == {0: Progress(20, 7)}
        assert store.versions() == Noted(1, b"one")
    for view in OTHERS:
        for entity in ENTITIES:
            assert batch_of(store, view, entity.encode()) == {"r1": b"first", "r2": b"batch"}
            assert stream_of(store, view, entity.encode()) == {"r7": b"stream"}
    # The other way round.
    fill(store, VIEW)
    there = kept_of(store, VIEW)
    beside.drop([BESIDE])
    assert beside.progress() == {}
    assert not kept_of(store, BESIDE)
    assert kept_of(store, VIEW) == there
    assert store.progress()[0].next_offset > 0
    # Views of another meaning may be written for.
    assert not beside.include(["d:v1:x"])


def test_a_view_that_was_dropped_may_be_filled_anew(store: StateStore) -> None:
    fill(store, VIEW)
    late = store.begin(VIEW, 3, goes_on=True)
    store.drop([VIEW])
    with pytest.raises(RetryableError, match="has taken over"):
        store.write(late, [Row(b"card", "r1", b"late")])
    publish(store, VIEW, {b"card": {"r3": b"new"}}, 1)
    apply(store, change("r8", 1, 1, b"new", view=VIEW))
    assert batch_of(store, VIEW, b"card") == {"r3": b"new"}
    assert [*store.contents(VIEW)] == [(b"card", "r8", b"new")]


def test_dropping_may_be_interrupted_and_repeated(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for view in (VIEW, BESIDE):
        fill(store, view)
    delete, batched = sqlite_contents._delete, redis_scripts.batched

    def first_table(file: Any, table: str, view: int) -> None:
        if table != "stream":
            raise KeyboardInterrupt
        delete(file, table, view)

    def first_keys(found: Iterable[Any], _: int) -> Iterator[Any]:
        yield next(iter(batched(found, 5)))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sqlite_contents, "_delete", first_table)
        patched.setattr(redis_contents, "batched", first_keys)
        with pytest.raises(KeyboardInterrupt):
            store.drop([VIEW, BESIDE])
    # A writer would begin again, and nobody takes what is left for all there is.
    assert store.progress() == {}
    assert {layers_of(store, view) for view in (VIEW, BESIDE)} == {NO_LAYERS}
    assert kept_of(store, BESIDE)
    store.drop([VIEW, BESIDE])
    assert not kept_of(store, VIEW) | kept_of(store, BESIDE)


def test_nothing_is_dropped_from_a_store_that_was_never_written(opened: Opened) -> None:
    store = opened("new")
    store.drop([VIEW])
    assert store.progress() == {}
    assert store.read({VIEW: NO_LAYERS}, ()) == Reading({VIEW: NO_LAYERS}, [], 0)
    if isinstance(store, SqliteStateStore):
        assert [*store.contents(VIEW)] == []
        assert store.versions() == Noted(0, b"")
        assert not store.path.exists()


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_the_store_of_the_settings_is_opened_for_a_namespace(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    environ = {"HOME": str(tmp_path)}
    if kind == "redis":
        environ |= request.getfixturevalue("server").environ()
    settings = load(tmp_path, environ)
    apply(open_store(settings, "new"), upto=20)
    assert open_store(settings).progress() == {}
    assert open_store(settings, "new").progress() == {0: Progress(20, 7)}
    store = open_store(settings)
    store.remove()
    assert open_store(settings, "new").progress() == {}
