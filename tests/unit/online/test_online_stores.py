"""What every online store promises, of each kind that there is."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace_features.leases import Claim, Lease, LeaseHeldError
from headrace_features.online import (
    redis_generations,
    redis_scripts,
    redis_store,
    sqlite_generations,
)
from headrace_features.online.layers import ALWAYS_MS, NEVER_MS, NO_LAYERS, Had
from headrace_features.online.redis_connection import RedisConnection
from headrace_features.online.redis_store import RedisStateStore
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_features.online.store import (
    AsyncReads,
    Progress,
    Reading,
    Row,
    StateStore,
    Wanted,
    Written,
)
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.events import encode_events
from headrace_schemas.errors import ConfigurationError, RetryableError
from online_stores import apply, batch_of, change, found_of, layers_of, publish, stream_of

DAY_MS = 86_400_000
HAD = Had(9, 9)


@pytest.fixture(params=["sqlite", "redis", "cluster"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    """An empty store of each kind."""
    if request.param == "sqlite":
        yield SqliteStateStore(tmp_path / "online.db")
        return
    started = request.getfixturevalue("server" if request.param == "redis" else "cluster")
    connection = RedisConnection(started.access())
    # No test reads while another generation is published.
    found = RedisStateStore(connection, "project", patience_s=0.0)
    yield found
    found.remove()
    connection.close()


def test_a_generation_is_invisible_until_it_is_published(store: StateStore) -> None:
    publish(store, "view", {b"card": {"r1": b"old"}}, 1)
    growing = store.begin("view", 2)
    store.write(growing, [Row(b"card", "r1", b"new"), Row(b"other", "r1", b"x")])
    before = layers_of(store, "view").batch
    assert before is not None
    assert (before.boundary_ms, before.written_ms) == (1, 2)
    assert batch_of(store, "view", b"card") == {"r1": b"old"}
    assert batch_of(store, "view", b"other") == {}
    store.publish(growing, Had(5, 4))
    after = layers_of(store, "view").batch
    assert after is not None
    assert (after.boundary_ms, after.written_ms) == (2, 5)
    assert batch_of(store, "view", b"card") == {"r1": b"new"}
    assert batch_of(store, "view", b"nobody") == {}


def test_tasks_of_any_event_loop_read_what_threads_read(store: StateStore) -> None:
    if not isinstance(store, AsyncReads):
        return
    publish(store, "view", {b"card": {"r1": b"1", "r2": b"2"}, b"other": {"r1": b"3"}}, 1)
    apply(store, change("s1", 1, 1, b"4"))
    wanted = [Wanted("view", [b"card"], None), Wanted("view", [b"other"], ["r1", "r9"])]
    before = store.read({"view": NO_LAYERS}, wanted)
    reading = store.read(before.layers, wanted)

    async def found(reads: AsyncReads) -> tuple[Reading, Reading]:
        first = await reads.read_async({"view": NO_LAYERS}, wanted)
        second = await reads.read_async(first.layers, wanted)
        await reads.aclose()
        return first, second

    for _ in range(2):
        assert asyncio.run(found(store)) == (before, reading)
    assert reading.found is not None
    assert reading.found[0][0].batch == {"r1": b"1", "r2": b"2"}


def test_a_read_under_a_former_boundary_says_what_there_is_now(store: StateStore) -> None:
    publish(store, "view", {b"card": {"r1": b"old"}}, 1)
    known = {"view": layers_of(store, "view")}
    publish(store, "view", {b"card": {"r1": b"new"}}, 2)
    reading = store.read(known, [Wanted("view", [b"card"], None)])
    assert reading.found is None
    again = store.read(reading.layers, [Wanted("view", [b"card"], None)])
    assert again.found is not None
    assert again.found[0][0].batch == {"r1": b"new"}


def test_what_is_needed_beside_the_first_field_is_read_with_it(store: StateStore) -> None:
    entities = {b"few": {"all": b"1", "base": b"2"}, b"many": {"base": b"3", "r1": b"4"}}
    publish(store, "view", entities, 1)
    known = {"view": layers_of(store, "view")}
    wanted = Wanted("view", [*entities], ["all", "base", "r1"], enough=2)
    found = store.read(known, [wanted]).found
    assert found is not None
    assert [one.batch for one in found[0]] == [*entities.values()]


def test_of_any_number_of_entities_each_has_its_own_fields(store: StateStore) -> None:
    entities = {
        b"%d" % number: {"all" if number % 3 else "r1": b"%d" % number} for number in range(150)
    }
    publish(store, "view", entities, 1)
    apply(store, *(change("r7", 1, 1, key, entity=key.decode()) for key in [*entities][::2]))
    known = {"view": layers_of(store, "view")}
    for count in (1, 2, 63, 64, 65, 150):
        keys = [*entities][:count]
        found = store.read(known, [Wanted("view", keys, ["all", "r1"])]).found
        assert found is not None
        assert [one.batch for one in found[0]] == [entities[key] for key in keys]
        expected = [{} if at % 2 else {"r7": key} for at, key in enumerate(keys)]
        assert [one.stream for one in found[0]] == expected


def test_only_the_fields_that_are_asked_for_are_read(store: StateStore) -> None:
    publish(store, "view", {b"card": {"r1": b"1", "r2": b"2", "r3": b"3"}}, 1)
    assert found_of(store, "view", b"card", ["r9", "r2"]).batch == {"r2": b"2"}
    # With the first the others aren't needed.
    assert "r3" in found_of(store, "view", b"card", ["r3", "r2"]).batch
    assert found_of(store, "view", b"card", []).batch == {}
    assert len(batch_of(store, "view", b"card")) == 3


def test_several_views_and_entities_are_read_at_once(store: StateStore) -> None:
    for view in ("one", "two"):
        publish(store, view, {b"a": {"r1": view.encode()}, b"b": {"r1": b"b"}}, 1)
    known = {view: layers_of(store, view) for view in ("one", "two", "three")}
    wanted = [Wanted(view, [b"a", b"x"], None) for view in ("two", "one", "three")]
    reading = store.read(known, wanted)
    assert reading.layers["three"] == NO_LAYERS
    assert reading.found is not None
    assert [found.batch for some in reading.found for found in some] == [
        {"r1": b"two"},
        {},
        {"r1": b"one"},
        {},
        {},
        {},
    ]


def test_a_writer_that_is_overtaken_stops_and_publishes_nothing(store: StateStore) -> None:
    slow = store.begin("view", 1)
    store.write(slow, [Row(b"card", "r1", b"slow")])
    fast = store.begin("view", 2)
    with pytest.raises(RetryableError, match="has taken over"):
        store.write(slow, [Row(b"card", "r2", b"slow")])
    with pytest.raises(RetryableError, match="has taken over"):
        store.publish(slow, HAD)
    store.write(fast, [Row(b"card", "r1", b"fast")])
    store.publish(fast, HAD)
    assert batch_of(store, "view", b"card") == {"r1": b"fast"}


def test_an_older_layer_is_not_put_over_a_newer_one(store: StateStore) -> None:
    publish(store, "view", {b"card": {"r1": b"newer"}}, 2 * DAY_MS)
    with pytest.raises(
        ConfigurationError, match=r"holds view up to 1970-01-03 .*, later than 1970-01-02"
    ):
        store.begin("view", DAY_MS)
    publish(store, "view", {b"card": {"r1": b"corrected"}}, 2 * DAY_MS)
    assert batch_of(store, "view", b"card") == {"r1": b"corrected"}


def test_a_field_takes_what_has_the_greater_epoch_or_sequence(store: StateStore) -> None:
    assert apply(store, change("r1", 2, 5, b"a")).refused == 0
    assert apply(store, change("r1", 2, 4, b"older")).refused == 1
    assert apply(store, change("r1", 1, 900, b"of an older deployment")).refused == 1
    assert stream_of(store, "view", b"card") == {"r1": b"a"}
    # The same again, as after a failure, and what is newer.
    assert apply(store, change("r1", 2, 5, b"a"), change("r2", 2, 5, b"b")).refused == 0
    assert apply(store, change("r1", 3, 1, b"c"), change("r2", 2, 300, b"d")).refused == 0
    assert stream_of(store, "view", b"card") == {"r1": b"c", "r2": b"d"}


def test_numbers_of_events_are_compared_as_numbers(store: StateStore) -> None:
    for sequence in (9, 10, 255, 256, 65_536, 2**40):
        assert apply(store, change("r1", 1, sequence, b"%d" % sequence)).refused == 0
    assert stream_of(store, "view", b"card") == {"r1": b"%d" % 2**40}
    assert apply(store, change("r1", 256, 1, b"epoch")).refused == 0
    assert apply(store, change("r1", 255, 9, b"older")).refused == 1


def test_what_is_empty_stays_as_a_guard_against_what_is_older(store: StateStore) -> None:
    apply(store, change("r1", 1, 3, b""))
    assert apply(store, change("r1", 1, 2, b"older")).refused == 1
    assert stream_of(store, "view", b"card") == {"r1": b""}


def test_of_several_contents_of_one_field_the_newest_stays_in_any_order(store: StateStore) -> None:
    apply(store, change("r1", 1, 2, b"second"), change("r1", 1, 1, b"first"))
    assert stream_of(store, "view", b"card") == {"r1": b"second"}


def test_progress_is_noted_with_the_changes(store: StateStore) -> None:
    assert store.progress() == {}
    apply(store, change("r1", 1, 1, b"a"), partition=3, now_ms=99)
    assert {part: tuple(one) for part, one in store.progress().items()} == {3: (1, 99)}
    # Nothing came, and all is there.
    assert apply(store, partition=3, now_ms=120).resume == {}
    assert {part: tuple(one) for part, one in store.progress().items()} == {3: (1, 120)}


def test_a_writer_that_was_overtaken_learns_where_the_store_is(store: StateStore) -> None:
    apply(store, change("r1", 1, 1, b"a"), upto=500)
    late = apply(store, change("r1", 1, 1, b"a"), upto=60, held=10)
    assert late.resume == {0: 500}
    assert store.progress()[0].next_offset == 500


def test_a_writer_learns_that_the_store_was_emptied(store: StateStore) -> None:
    apply(store, change("r1", 1, 1, b"a"), upto=500)
    store.remove()
    assert apply(store, change("r2", 1, 2, b"b"), upto=510, held=500).resume == {0: 0}
    assert store.progress() == {}


def test_the_stream_layer_says_what_it_holds(store: StateStore) -> None:
    assert layers_of(store, "view") == NO_LAYERS
    apply(store, change("r1", 4, 70, b"a"), change("r1", 4, 60, b"b"), now_ms=1_000)
    span = layers_of(store, "view").stream
    assert span is not None
    assert (span.since_ms, span.event_time_ms, span.written_ms) == (NEVER_MS, 70, 1_000)
    store.covers("view", 4, 50)
    store.covers("view", 3, 10)
    apply(store, change("r2", 4, 65, b"c"), now_ms=900)
    span = layers_of(store, "view").stream
    assert span is not None
    assert tuple(span) == (4, 50, 70, 1_000, 0)
    store.covers("view", 5, ALWAYS_MS)
    span = layers_of(store, "view").stream
    assert span is not None
    assert span[:2] == (5, ALWAYS_MS)
    # It has turned out to lack some, and to say otherwise again is no news.
    store.covers("view", 5, 80)
    store.covers("view", 5, 60)
    span = layers_of(store, "view").stream
    assert span is not None
    assert span[:2] == (5, 80)


def test_a_store_knows_up_to_when_a_deployment_has_caught_up(store: StateStore) -> None:
    def current_ms() -> int:
        span = layers_of(store, "view").stream
        assert span is not None
        return span.current_ms

    store.caught_up({"view": 4}, 1_000)
    assert layers_of(store, "view") == NO_LAYERS
    store.covers("view", 4, 50)
    assert current_ms() == 0
    for time_ms in (1_000, 3_000, 2_000):
        store.caught_up({"view": 4, "other": 4}, time_ms)
    apply(store, change("r1", 4, 70, b"a"))
    store.covers("view", 4, 60)
    store.caught_up({"view": 3}, 9_000)
    assert current_ms() == 3_000
    # The next one makes everything anew.
    store.covers("view", 5, ALWAYS_MS)
    assert current_ms() == 0
    store.caught_up({"view": 5}, 2_000)
    assert current_ms() == 2_000


def test_what_two_generations_cover_goes_from_the_stream_layer(store: StateStore) -> None:
    fields = {f"r{day}": b"x" for day in range(6)} | {"x23": b"x", "x24": b"x", "l2880": b"x"}
    apply(store, *(change(name, 1, 1, content) for name, content in fields.items()))
    apply(store, change("r0", 1, 1, b"x", view="other"))
    publish(store, "view", {}, DAY_MS)
    # Readers may not know yet that there is a batch layer.
    assert set(stream_of(store, "view", b"card")) == set(fields)
    publish(store, "view", {}, 3 * DAY_MS)
    # Readers may still be at the former boundary.
    assert set(stream_of(store, "view", b"card")) == set(fields) - {"r0", "x23"}
    publish(store, "view", {}, 4 * DAY_MS)
    assert set(stream_of(store, "view", b"card")) == {"r3", "r4", "r5"}
    assert set(stream_of(store, "other", b"card")) == {"r0"}


def test_what_became_known_after_a_generation_stays_in_the_stream_layer(store: StateStore) -> None:
    def events(*delays_ms: int) -> bytes:
        times = list(range(len(delays_ms)))
        block = EventBlock(times, [b"%d" % at for at in times], list(delays_ms), [])
        return encode_events(block)

    prompt, late = events(0, 5), events(0, 50, 1)
    apply(
        store,
        change("r0", 1, 1, late),
        change("x0", 1, 2, prompt),
        change("s0", 1, 3, late),
        change("d0", 1, 4, b"a tile"),
        change("r1", 1, 5, prompt),
    )
    for boundary_ms, known_ms in ((DAY_MS, 20), (DAY_MS, 30), (DAY_MS, 40)):
        store.publish(store.begin("view", boundary_ms), Had(1, DAY_MS, known_ms))
    batch = layers_of(store, "view").batch
    assert batch is not None
    assert (batch.boundary_ms, batch.written_ms, batch.known_ms) == (DAY_MS, 1, 40)
    assert set(stream_of(store, "view", b"card")) == {"r0", "s0", "r1"}
    for known_ms in (60, 70):
        store.publish(store.begin("view", DAY_MS), Had(1, DAY_MS, known_ms))
    assert set(stream_of(store, "view", b"card")) == {"r1"}


def test_what_a_generation_that_was_built_anew_lacks_is_gone(store: StateStore) -> None:
    publish(store, "view", {b"card": {"r1": b"1"}, b"gone": {"r1": b"1"}}, 1)
    first = {"view": layers_of(store, "view")}
    publish(store, "view", {b"card": {"r1": b"2"}}, 2)
    publish(store, "view", {b"card": {"r1": b"3"}}, 3)
    publish(store, "view", {b"card": {"r1": b"4"}}, 4)
    assert batch_of(store, "view", b"card") == {"r1": b"4"}
    assert batch_of(store, "view", b"gone") == {}
    assert store.read(first, [Wanted("view", [b"card"], None)]).found is None


def goes_on(store: StateStore, fields: dict[bytes, dict[str, bytes]], boundary_ms: int) -> None:
    """A generation with what differs from the one before it."""
    generation = store.begin("view", boundary_ms, goes_on=True)
    rows = [Row(key, name, value) for key, held in fields.items() for name, value in held.items()]
    store.write(generation, rows)
    store.publish(generation, Had.until(generation, boundary_ms + 1))


def test_a_generation_that_goes_on_has_what_it_does_not_differ_in(store: StateStore) -> None:
    publish(store, "view", {b"card": {"r1": b"1", "r2": b"2"}, b"other": {"r1": b"o"}}, 1)
    known = {"view": layers_of(store, "view")}
    goes_on(store, {b"card": {"r2": b"two", "r3": b"3"}, b"new": {"r1": b"n"}}, 2)
    assert store.read(known, [Wanted("view", [b"card"], None)]).found is None
    for fields in (None, ["r4", "r1", "r2", "r3"]):
        found = found_of(store, "view", b"card", fields).batch
        assert found == {"r1": b"1", "r2": b"two", "r3": b"3"}
    assert batch_of(store, "view", b"other") == {"r1": b"o"}
    assert batch_of(store, "view", b"new") == {"r1": b"n"}
    goes_on(store, {b"card": {"r1": b"", "r2": b""}, b"new": {"r1": b""}}, 3)
    assert batch_of(store, "view", b"card") == {"r3": b"3"}
    assert batch_of(store, "view", b"new") == {}
    goes_on(store, {b"card": {"r1": b"again"}}, 3)
    assert batch_of(store, "view", b"card") == {"r1": b"again", "r3": b"3"}
    publish(store, "view", {b"card": {"r9": b"anew"}}, 4)
    assert batch_of(store, "view", b"card") == {"r9": b"anew"}
    assert batch_of(store, "view", b"other") == {}


def test_what_a_generation_goes_on_from_is_read_while_it_is_built(store: StateStore) -> None:
    publish(store, "view", {b"card": {"r1": b"1", "r2": b"2"}}, 1)
    goes_on(store, {b"card": {"r1": b"", "r3": b"3"}}, 2)
    generation = store.begin("view", 3, goes_on=True)
    store.write(generation, [Row(b"card", "r2", b"later")])
    wanted = [(b"card", None), (b"card", ["r1", "r3"]), (b"none", None), (b"card", [])]
    assert store.kept(generation, wanted) == [
        {"r2": b"2", "r3": b"3"},
        {"r3": b"3"},
        {},
        {},
    ]


@pytest.mark.parametrize("begun", ["anew", "going on"])
def test_what_was_added_to_a_generation_may_be_added_again(store: StateStore, begun: str) -> None:
    publish(store, "view", {b"card": {"r1": b"1", "r2": b"2"}}, 1)
    generation = store.begin("view", 2, goes_on=begun == "going on")
    rows = [Row(b"card", "r1", b"one"), Row(b"card", "r2", b""), Row(b"new", "r1", b"n")]
    for some in (rows, rows, rows[2:]):
        assert store.write(generation, some) == len(some)
    store.publish(generation, HAD)
    assert batch_of(store, "view", b"card")["r1"] == b"one"
    assert batch_of(store, "view", b"new") == {"r1": b"n"}
    goes_on(store, {b"new": {"r1": b""}}, 3)
    assert batch_of(store, "view", b"new") == {}


@pytest.mark.parametrize("begun", ["anew", "going on"])
def test_who_still_adds_to_a_generation_that_readers_have_is_refused(
    store: StateStore,
    begun: str,
) -> None:
    publish(store, "view", {b"card": {"r1": b"1"}}, 1)
    generation = store.begin("view", 2, goes_on=begun == "going on")
    store.write(generation, [Row(b"card", "r1", b"one")])
    store.publish(generation, HAD)
    for _ in range(2):
        with pytest.raises(RetryableError, match="has taken over"):
            store.write(generation, [Row(b"card", "r1", b"late")])
        assert batch_of(store, "view", b"card") == {"r1": b"one"}
        goes_on(store, {b"other": {"r1": b"o"}}, 3)


def test_a_store_may_be_sent_elsewhere_and_adds_to_the_same_generation(store: StateStore) -> None:
    generation = store.begin("view", 1)
    sent: StateStore = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    sent.write(generation, [Row(b"card", "r1", b"1")])
    store.write(generation, [Row(b"other", "r1", b"o")])
    store.publish(generation, HAD)
    for one in (store, sent):
        assert batch_of(one, "view", b"card") == {"r1": b"1"}
        assert batch_of(one, "view", b"other") == {"r1": b"o"}
    if isinstance(sent, RedisStateStore):
        sent.connection.close()


def test_what_a_generation_has_written_that_was_given_up_is_never_seen(store: StateStore) -> None:
    publish(store, "view", {b"card": {"r1": b"1"}}, 1)
    for begins_anew in (False, True):
        given_up = store.begin("view", 2, goes_on=not begins_anew)
        store.write(given_up, [Row(b"card", "r1", b"x"), Row(b"ghost", "r1", b"x")])
        goes_on(store, {b"other": {"r1": b"o"}}, 2)
        assert batch_of(store, "view", b"card") == {"r1": b"1"}
        assert batch_of(store, "view", b"ghost") == {}
        assert batch_of(store, "view", b"other") == {"r1": b"o"}


def test_a_generation_is_whole_though_its_writer_ends_when_readers_have_it(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, "view", {b"card": {"r1": b"1", "r2": b"2"}, b"gone": {"r1": b"g"}}, 1)
    with monkeypatch.context() as patched:
        for generations in (sqlite_generations.Generations, redis_generations.Generations):
            patched.setattr(generations, "_settle", interrupted)
        with pytest.raises(KeyboardInterrupt):
            goes_on(store, {b"card": {"r2": b"two"}, b"gone": {"r1": b""}}, 2)
    for fields in (None, ["r0", "r1", "r2"]):
        assert found_of(store, "view", b"card", fields).batch == {"r1": b"1", "r2": b"two"}
        assert found_of(store, "view", b"gone", fields).batch == {}
    generation = store.begin("view", 3, goes_on=True)
    assert store.kept(generation, [(b"card", None), (b"gone", None)]) == [
        {"r1": b"1", "r2": b"two"},
        {},
    ]
    store.write(generation, [Row(b"card", "r1", b"one")])
    store.publish(generation, HAD)
    assert batch_of(store, "view", b"card") == {"r1": b"one", "r2": b"two"}
    assert batch_of(store, "view", b"gone") == {}


def test_what_each_layer_takes_is_told_by_view(store: StateStore) -> None:
    assert store.sizes() == []
    held = {b"card": {"r1": b"one", "r2": b"two"}, b"}:x:b1": {"r1": b"3"}}
    publish(store, "view:v1:meaning", held, DAY_MS)
    publish(store, "view:v2:other", {b"card": {"r1": b"x" * 1_000}}, DAY_MS)
    apply(store, change("r5", 1, 1, b"stream", view="view:v1:meaning@v1"))
    generation = store.begin("view:v1:meaning", 2 * DAY_MS, goes_on=True)
    store.write(generation, [Row(b"card", "r1", b"another")])
    found = {(one.view, one.layer): (one.fields, one.size) for one in store.sizes()}
    assert {place: fields for place, (fields, _) in found.items()} == {
        ("view:v1:meaning", "batch"): 4,
        ("view:v1:meaning@v1", "stream"): 1,
        ("view:v2:other", "batch"): 1,
    }
    assert 1_000 <= found["view:v2:other", "batch"][1] < 2_000
    assert {one.entities for one in store.sizes() if one.view != "view:v1:meaning"} == {1}
    store.remove()
    assert store.sizes() == []


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_there_is_nothing_to_go_on_from_in_an_empty_store(store: StateStore) -> None:
    with pytest.raises(RetryableError, match=r"no batch layer of view any more"):
        store.begin("view", 1, goes_on=True)


def test_the_id_of_a_generation_is_above_what_is_said(store: StateStore) -> None:
    first = store.begin("view", 1, above=1_000)
    assert first.id > 1_000
    assert store.begin("view", 1).id > first.id


def test_one_at_a_time_builds_a_generation_for_as_long_as_it_says(store: StateStore) -> None:
    one = store.begin("view", 1, Claim("one", now_ms=100, until_ms=200))
    with pytest.raises(LeaseHeldError, match=r"view is being materialized by one, .* 00:00:00 UTC"):
        store.begin("view", 1, Claim("two", now_ms=199, until_ms=300))
    store.renew(one, 400)
    with pytest.raises(LeaseHeldError) as held:
        store.begin("view", 1, Claim("two", now_ms=300, until_ms=500))
    assert held.value.lease == Lease("one", 400)
    store.write(one, [Row(b"card", "r1", b"one")])
    # It has ended, or has not been heard of for too long.
    again = store.begin("view", 1, Claim("one", now_ms=300, until_ms=400))
    two = store.begin("view", 1, Claim("two", now_ms=400, until_ms=500))
    for late in (one, again):
        with pytest.raises(RetryableError, match="has taken over"):
            store.renew(late, 900)
    three = store.begin("view", 1, Claim("three", now_ms=410, until_ms=500, over="two"))
    with pytest.raises(RetryableError, match="has taken over"):
        store.write(two, [Row(b"card", "r1", b"two")])
    store.write(three, [Row(b"card", "r1", b"three")])
    store.publish(three, HAD)
    assert batch_of(store, "view", b"card") == {"r1": b"three"}
    # Whoever has published is done.
    store.begin("view", 1, Claim("four", now_ms=420, until_ms=500))


@pytest.mark.parametrize("entity", ["", "a:b", "{x}y", "}{", "ä €", "*?[a]", "a\nb", "0"])
def test_any_key_of_an_entity_will_do(store: StateStore, entity: str) -> None:
    publish(store, "view", {entity.encode(): {"r1": b"batch"}, b"other": {"r1": b"o"}}, DAY_MS)
    apply(store, change("r5", 1, 1, b"stream", entity=entity))
    publish(store, "view", {entity.encode(): {"r1": b"batch 2"}}, 2 * DAY_MS)
    found = found_of(store, "view", entity.encode())
    assert (found.batch, found.stream) == ({"r1": b"batch 2"}, {"r5": b"stream"})


@pytest.mark.parametrize("entity", ["x}:view:s", "x}:view:b", "}:view:b1", "x}:view:b1:s"])
def test_an_entity_whose_key_names_another_view_is_not_swept_with_that(
    store: StateStore, entity: str
) -> None:
    for view in ("other", "view@other"):
        apply(store, change("r0", 1, 1, b"x", view=view, entity=entity))
    for day in (2, 3, 4):
        publish(store, "view", {entity.encode(): {"r1": b"%d" % day}}, day * DAY_MS)
    for view in ("other", "view@other"):
        assert stream_of(store, view, entity.encode()) == {"r0": b"x"}


def test_a_publication_may_be_repeated_where_nobody_heard_that_it_worked(
    store: StateStore,
) -> None:
    if isinstance(store, SqliteStateStore):
        return
    growing = store.begin("view", 1)
    store.publish(growing, HAD)
    store.publish(growing, HAD)
    with pytest.raises(RetryableError, match="has taken over"):
        store.publish(growing, Had(9, 8))


def test_a_generation_that_is_built_while_all_is_removed_is_not_taken_for_a_later_one(
    store: StateStore,
) -> None:
    growing = store.begin("view", DAY_MS)
    store.remove()
    later = store.begin("view", 2 * DAY_MS)
    for late in (
        lambda: store.write(growing, [Row(b"card", "r1", b"late")]),
        lambda: store.publish(growing, HAD),
    ):
        with pytest.raises(RetryableError, match="has taken over"):
            late()
    store.publish(later, HAD)
    assert batch_of(store, "view", b"card") == {}


def test_what_a_writer_puts_in_while_all_is_removed_is_not_taken_for_whole(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(store, SqliteStateStore):
        return
    for entity in ("a", "b", "c"):
        apply(store, change("r1", 1, 1, b"a", entity=entity), upto=500)
    batched = redis_scripts.batched

    def interrupted(found: Iterable[Any], count: int) -> Iterator[Any]:
        for number, some in enumerate(batched(found, min(count, 1))):
            if number == 2:
                # It has noticed that the store is empty, and begins again.
                apply(store, change("r1", 1, 1, b"a", entity="a"), upto=510)
            yield some

    monkeypatch.setattr(redis_store, "batched", interrupted)
    store.remove()
    assert store.progress() == {}


def test_a_writer_that_does_not_know_of_a_view_is_refused_once_another_needs_it(
    store: StateStore,
) -> None:
    assert not store.include(["a:v1:x"])
    assert not written(store, -1, 500, "a:v1:x").overtaken
    # The same, and less, is there already.
    assert not store.include(["a:v1:x"])
    assert store.include(["a:v1:x", "b:v1:y"])
    assert store.progress() == {}
    assert written(store, 500, 510, "a:v1:x") == Written(0, {}, overtaken=True)
    assert store.progress() == {}
    both = ("b:v1:y", "a:v1:x")
    assert written(store, 500, 510, *both).resume == {0: 0}
    assert not written(store, -1, 40, *both).overtaken
    assert not store.include(["b:v1:y"])
    assert store.progress()[0].next_offset == 40
    # What was not written for meanwhile has to be read again.
    assert written(store, 40, 50, *both).overtaken
    assert store.include(both)


def test_the_first_to_write_into_an_emptied_store_says_what_for(store: StateStore) -> None:
    store.include(["a:v1:x"])
    written(store, -1, 500, "a:v1:x")
    store.remove()
    assert written(store, 500, 510, "a:v1:x").resume == {0: 0}
    assert written(store, -1, 20, "b:v1:x").overtaken


def written(store: StateStore, held: int, upto: int, *views: str) -> Written:
    """What becomes of the progress of a writer of some views."""
    return store.apply((), {0: Progress(upto, 1)}, {0: held}, 1, views)


def test_removing_leaves_nothing(store: StateStore) -> None:
    publish(store, "view", {b"card": {"r1": b"old"}}, 1)
    apply(store, change("r1", 1, 1, b"a"))
    store.remove()
    assert layers_of(store, "view") == NO_LAYERS
    assert found_of(store, "view", b"card") == ({}, {})
    assert store.progress() == {}
