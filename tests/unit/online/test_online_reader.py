"""The lean reader: values, what they lack, and how fresh they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headrace_features import (
    Count,
    FeatureReader,
    FeatureRow,
    FeatureView,
    Last,
    Session,
    Sliding,
    Sum,
    Terms,
    Unbounded,
)
from headrace_features.definitions.durations import DAY_MS, HOUR_MS, MINUTE_MS
from headrace_features.online.layers import ALWAYS_MS, Had
from headrace_features.online.redis_connection import RedisConnection
from headrace_features.online.redis_store import RedisStateStore
from headrace_features.online.served import entity_key, view_key
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_features.online.store import Row, StateStore
from headrace_features.partials.encoding import pack
from headrace_features.partials.events import block_of, encode_events, in_order
from headrace_features.partials.plan import plan_of
from headrace_features.state.build import build
from headrace_features.state.layout import layout_of
from headrace_schemas.errors import (
    BadRecordError,
    ConfigurationError,
    RetryableError,
    UnsupportedError,
)
from headrace_schemas.event_times import MOST_AHEAD_MS
from histories import as_table, reading, view_with
from online_stores import apply, change, make_whole
from redis_servers import redis_server

USUAL = Terms()
BOUNDARY_MS = 19_000 * DAY_MS
NOW_MS = BOUNDARY_MS + 6 * HOUR_MS
MOMENT = datetime.fromtimestamp(BOUNDARY_MS / 1000, UTC) - timedelta(milliseconds=1)
VIEW = view_with(
    Count(windows=[Sliding("1h"), Sliding("2d")]), Sum("amount", windows=[Sliding("2d")])
)
HOUR, DAYS, SUM = (f"{VIEW.name}__{name}" for name in VIEW.feature_names)


@pytest.fixture
def store(tmp_path: Path) -> SqliteStateStore:
    """An empty store."""
    return SqliteStateStore(tmp_path / "online.db")


def reader(
    store: StateStore, terms: Terms = USUAL, view: FeatureView = VIEW, now_ms: int = NOW_MS
) -> FeatureReader:
    chosen = [view.select(*view.feature_names)]
    return FeatureReader(store, chosen, clock_ms=lambda: now_ms, terms=terms)


def materialize(
    store: StateStore,
    *times_ms: int,
    boundary_ms: int = BOUNDARY_MS,
    written_ms: int = BOUNDARY_MS + 7,
    view: FeatureView = VIEW,
) -> None:
    plan = plan_of(view)
    events = [reading(f"e{ms}", ms, amount=5) for ms in times_ms]
    block = in_order(block_of(view, plan, as_table(view, events)))
    generation = store.begin(view_key(view), boundary_ms)
    fields = build(plan, layout_of(view, boundary_ms), block)
    store.write(generation, [Row(entity_key("a"), *field) for field in fields.items()])
    store.publish(generation, Had.until(generation, written_ms))


def stream(
    store: StateStore, *times_ms: int, since_ms: int | None = None, view: FeatureView = VIEW
) -> None:
    plan = plan_of(view)
    events = [reading(f"s{ms}", ms, amount=7) for ms in times_ms]
    block = in_order(block_of(view, plan, as_table(view, events)))
    day = times_ms[0] // DAY_MS
    apply(
        store,
        change(f"r{day}", 1, 9, encode_events(block), view=view_key(view), entity="a"),
        now_ms=NOW_MS - 3,
    )
    if since_ms is not None:
        make_whole(store, view_key(view), since_ms=since_ms)


def test_values_of_both_layers_are_merged_at_the_time_asked_for(store: SqliteStateStore) -> None:
    materialize(store, BOUNDARY_MS - DAY_MS, BOUNDARY_MS - 1)
    stream(store, NOW_MS - HOUR_MS, NOW_MS - 1, since_ms=ALWAYS_MS)
    (row,) = reader(store).read([{"sensor": "a"}])
    assert row.to_dict() == {HOUR: 1, DAYS: 4, SUM: 24}
    assert row[HOUR] == 1
    assert repr(row) == f"FeatureRow({row.to_dict()!r})"
    assert not row.incomplete
    assert not row.not_found
    (later,) = reader(store, now_ms=NOW_MS + HOUR_MS).read([{"sensor": "a"}])
    (before,) = reader(store).read([{"sensor": "a", "as_of": BOUNDARY_MS - 1}])
    assert (later[HOUR], before[DAYS]) == (0, 2)


@pytest.mark.parametrize("lately", [1, 200])
def test_where_a_window_has_no_bound_it_has_what_was_long_ago(
    store: SqliteStateStore, lately: int
) -> None:
    view = view_with(Count(windows=[Unbounded(), Session("1h"), Sliding("2d")]))
    long_ago = [BOUNDARY_MS - 90 * DAY_MS, BOUNDARY_MS - 80 * DAY_MS]
    newest = [BOUNDARY_MS - 1 - at for at in range(lately)]
    materialize(store, *long_ago, *newest, view=view)
    (row,) = reader(store, view=view).read([{"sensor": "a", "as_of": BOUNDARY_MS}])
    assert [*row.values()] == [lately + 2, lately, lately]


def test_what_will_be_is_not_told(store: SqliteStateStore) -> None:
    materialize(store, BOUNDARY_MS - 1)
    # The clock of who asks may be ahead of this one.
    assert reader(store).read([{"sensor": "a", "as_of": NOW_MS + MOST_AHEAD_MS}])
    with pytest.raises(UnsupportedError, match="lies ahead"):
        reader(store).read([{"sensor": "a", "as_of": NOW_MS + MOST_AHEAD_MS + 1}])


def test_one_row_is_no_list_of_rows(store: SqliteStateStore) -> None:
    with pytest.raises(BadRecordError, match="one row was given, expected some"):
        reader(store).read({"sensor": "a"})  # type: ignore[arg-type]


def test_an_entity_without_state_has_empty_windows(store: SqliteStateStore) -> None:
    materialize(store, BOUNDARY_MS - 1)
    (row,) = reader(store).read([{"sensor": "nobody"}])
    assert row.to_dict() == {HOUR: 0, DAYS: 0, SUM: 0}
    assert row.not_found == {VIEW.name}


def test_a_view_of_which_there_is_nothing_has_no_values(store: SqliteStateStore) -> None:
    (row,) = reader(store).read([{"sensor": "a"}])
    assert row.to_dict() == {HOUR: None, DAYS: None, SUM: None}
    assert row.incomplete == {HOUR, DAYS, SUM}
    assert {*row.statuses.values()} == {"NOT_FOUND"}
    assert row.freshness[VIEW.name].batch is None


def test_without_a_stream_layer_what_ends_after_the_boundary_is_incomplete(
    store: SqliteStateStore,
) -> None:
    materialize(store, BOUNDARY_MS - 1)
    now, then = reader(store).read([{"sensor": "a"}, {"sensor": "a", "as_of": BOUNDARY_MS - 1}])
    assert now.incomplete == {HOUR, DAYS, SUM}
    assert not then.incomplete
    # What is not there may be of one who has no state either.
    unknown, known = reader(store).read(
        [{"sensor": "nobody"}, {"sensor": "nobody", "as_of": BOUNDARY_MS - 1}]
    )
    assert {*unknown.statuses.values()} == {"OUTSIDE_MAX_AGE"}
    assert {*known.statuses.values()} == {"NOT_FOUND"}


def test_a_gap_between_the_layers_makes_those_windows_incomplete_that_reach_into_it(
    store: SqliteStateStore,
) -> None:
    materialize(store, BOUNDARY_MS - 1)
    stream(store, NOW_MS - 1, since_ms=BOUNDARY_MS + HOUR_MS)
    (row,) = reader(store).read([{"sensor": "a"}])
    assert row.incomplete == {DAYS, SUM}
    # The values are those of what there is.
    assert row.to_dict() == {HOUR: 1, DAYS: 2, SUM: 12}


def test_what_a_batch_layer_could_not_know_yet_comes_from_the_stream_or_is_incomplete(
    store: SqliteStateStore,
) -> None:
    written_ms = BOUNDARY_MS - 6 * HOUR_MS
    # It was given one that was yet to be.
    materialize(store, written_ms - 1, BOUNDARY_MS - 1, written_ms=written_ms)
    rows: list[dict[str, object]] = [
        {"sensor": "a"},
        {"sensor": "a", "as_of": written_ms - 1},
        {"sensor": "a", "as_of": BOUNDARY_MS - 1},
        {"sensor": "a", "as_of": BOUNDARY_MS + HOUR_MS - 2},
    ]
    now, before, between, just = reader(store).read(rows)
    assert now.incomplete == between.incomplete == just.incomplete == {HOUR, DAYS, SUM}
    assert not before.incomplete
    assert [row[DAYS] for row in (now, before, between)] == [2, 1, 2]
    # Whoever writes takes over where the layer ends, and makes it whole if it has all since then.
    stream(store, written_ms + 1, BOUNDARY_MS - 1, NOW_MS - 1, since_ms=written_ms + 1)
    late = reader(store).read(rows)
    assert [row.incomplete for row in late] == [{DAYS, SUM}, frozenset(), {DAYS, SUM}, {DAYS, SUM}]
    make_whole(store, view_key(VIEW), since_ms=written_ms, epoch=2)
    found = reader(store).read(rows)
    assert not any(row.incomplete for row in found)
    assert [row[DAYS] for row in found] == [row[DAYS] for row in late] == [4, 1, 3, 3]
    batch = found[0].freshness[VIEW.name].batch
    assert batch is not None
    assert batch.event_time == written_ms


def test_a_stream_layer_alone_answers_as_far_back_as_it_goes(store: SqliteStateStore) -> None:
    stream(store, NOW_MS - 1, since_ms=NOW_MS - 3 * HOUR_MS)
    (row,) = reader(store).read([{"sensor": "a"}])
    assert row.incomplete == {DAYS, SUM}
    make_whole(store, view_key(VIEW), epoch=2)
    (row,) = reader(store).read([{"sensor": "a"}])
    assert not row.incomplete


def test_values_that_lack_events_which_were_refused_are_incomplete(
    store: SqliteStateStore,
) -> None:
    stream(store, NOW_MS - 2 * HOUR_MS, since_ms=ALWAYS_MS)
    refused_ms = NOW_MS - HOUR_MS - 1
    lacking = change("m", 1, 9, pack([refused_ms] * 2), view=view_key(VIEW), entity="a")
    apply(store, lacking, now_ms=NOW_MS - 2)
    (row, other) = reader(store).read([{"sensor": "a"}, {"sensor": "b"}])
    assert row.incomplete == {DAYS, SUM}
    assert not other.incomplete
    assert row.statuses[DAYS] == "OUTSIDE_MAX_AGE"
    with pytest.raises(RetryableError, match="is incomplete"):
        reader(store, Terms(incomplete="refuse")).read([{"sensor": "a"}])
    materialize(store, refused_ms, boundary_ms=refused_ms + 1, written_ms=NOW_MS)
    assert not reader(store).read([{"sensor": "a"}])[0].incomplete


def test_what_was_sent_lately_may_be_missing_while_the_stream_is_behind(
    store: SqliteStateStore,
) -> None:
    materialize(store, BOUNDARY_MS - 1)
    stream(store, NOW_MS - HOUR_MS)
    store.covers(view_key(VIEW), 1, ALWAYS_MS)
    usual, hasty = reader(store), reader(store, Terms(max_lag="1m"))
    strict = reader(store, Terms(incomplete="refuse", max_lag="1m"))
    (row,) = usual.read([{"sensor": "a"}])
    assert row.incomplete == {HOUR, DAYS, SUM}
    assert current_ms(row) is None
    store.caught_up({view_key(VIEW): 1}, NOW_MS - 2 * MINUTE_MS)
    (row,) = usual.read([{"sensor": "a"}])
    assert not row.incomplete
    assert current_ms(row) == NOW_MS - 2 * MINUTE_MS
    asked: list[dict[str, object]] = [{"sensor": "a"}, {"sensor": "a", "as_of": NOW_MS - MINUTE_MS}]
    assert [bool(row.incomplete) for row in hasty.read(asked)] == [True, False]
    with pytest.raises(RetryableError, match="readings_lately is incomplete"):
        strict.read(asked)
    store.caught_up({view_key(VIEW): 1}, NOW_MS - MINUTE_MS)
    assert not any(row.incomplete for row in strict.read(asked))
    # Whoever begins anew makes fields anew, from the oldest event on.
    store.covers(view_key(VIEW), 2, ALWAYS_MS)
    (row,) = usual.read([{"sensor": "a"}])
    assert row.incomplete == {HOUR, DAYS, SUM}
    assert not reader(store).read([{"sensor": "a", "as_of": BOUNDARY_MS - 1}])[0].incomplete


def current_ms(row: FeatureRow) -> int | None:
    layer = row.freshness[VIEW.name].stream
    assert layer is not None
    return layer.current


@pytest.mark.parametrize("rows", [1, 20])
def test_a_session_looks_back_a_gap_before_its_first_event(
    store: SqliteStateStore, rows: int
) -> None:
    view = view_with(
        Count(windows=[Session("1h"), Sliding("1h")]), Last("amount", windows=[Sliding("1h")])
    )
    began_ms = NOW_MS - 4 * HOUR_MS
    stream(store, *(began_ms + step * HOUR_MS for step in range(4)), view=view)
    make_whole(store, view_key(view), since_ms=began_ms - HOUR_MS)
    others = [{"sensor": f"none such {number}"} for number in range(rows)]
    asked: list[dict[str, str]] = [{"sensor": "a"}, *others]
    found = reader(store, view=view).read(asked)
    session = f"{view.name}__count_session_1h"
    for row, first_ms, count in ((found[0], began_ms, 4), (found[-1], NOW_MS, 0)):
        assert row[session] == count
        looked = row.freshness[view.name].features["count_session_1h"]
        assert (looked.first, looked.last) == (first_ms - HOUR_MS, NOW_MS)
        hour = row.freshness[view.name].features["count_1h"]
        assert (hour.first, hour.last) == (NOW_MS - HOUR_MS + 1, NOW_MS)
        assert not row.incomplete
    # An event before it would be of the session.
    store.covers(view_key(view), 1, began_ms - HOUR_MS + 1)
    lacking = reader(store, view=view).read(asked)
    assert [row.incomplete for row in (lacking[0], lacking[-1])] == [{session}, frozenset()]


def test_an_answer_says_how_fresh_it_is(store: SqliteStateStore) -> None:
    materialize(store, BOUNDARY_MS - 1)
    stream(store, NOW_MS - 5, since_ms=BOUNDARY_MS - HOUR_MS)
    (row,) = reader(store).read([{"sensor": "a"}])
    fresh = row.freshness[VIEW.name]
    assert fresh.as_of == NOW_MS
    assert fresh.batch is not None
    assert (fresh.batch.event_time, fresh.batch.written) == (BOUNDARY_MS, BOUNDARY_MS + 7)
    assert fresh.stream is not None
    assert (fresh.stream.since, fresh.stream.written) == (BOUNDARY_MS - HOUR_MS, NOW_MS - 3)
    hour = fresh.features["count_1h"]
    assert (hour.first, hour.last, hour.complete) == (NOW_MS - HOUR_MS + 1, NOW_MS, True)


def test_a_moved_boundary_is_followed_by_readers_that_are_at_work(store: SqliteStateStore) -> None:
    materialize(store, BOUNDARY_MS - DAY_MS - 1, boundary_ms=BOUNDARY_MS - DAY_MS)
    stream(store, BOUNDARY_MS - 9, BOUNDARY_MS - 2, since_ms=ALWAYS_MS)
    working = reader(store)
    asked = [{"sensor": "a", "as_of": BOUNDARY_MS - 1}]
    assert working.read(asked)[0][DAYS] == 3
    # The batch layer knows of one that the stream has missed.
    times = (BOUNDARY_MS - DAY_MS - 1, BOUNDARY_MS - 9, BOUNDARY_MS - 5, BOUNDARY_MS - 2)
    materialize(store, *times)
    assert working.read(asked)[0][DAYS] == 4


@pytest.mark.parametrize("key", [None, 5, "missing"])
def test_a_key_of_another_type_is_an_error(store: SqliteStateStore, key: object) -> None:
    row = {} if key == "missing" else {"sensor": key}
    with pytest.raises(BadRecordError, match=r"the join key sensor is .*, expected str"):
        reader(store).read([row])


@pytest.mark.parametrize(
    "as_of",
    [
        BOUNDARY_MS - 1,
        np.int64(BOUNDARY_MS - 1),
        MOMENT,
        MOMENT.replace(tzinfo=None),
        pd.Timestamp(MOMENT),
        MOMENT.isoformat(),
        MOMENT.astimezone(timezone(timedelta(hours=5))).isoformat(),
    ],
)
def test_a_time_may_be_a_number_a_moment_or_a_text(store: SqliteStateStore, as_of: object) -> None:
    materialize(store, BOUNDARY_MS - 2 * DAY_MS, BOUNDARY_MS - HOUR_MS, BOUNDARY_MS - 1)
    then, earlier, now = reader(store).read(
        [
            {"sensor": "a", "as_of": as_of},
            {"sensor": "a", "as_of": MOMENT - timedelta(hours=2)},
            {"sensor": "a", "as_of": None},
        ]
    )
    assert [*then.values()] == [2, 3, 15]
    assert [*earlier.values()] == [0, 1, 5]
    assert then.freshness[VIEW.name].as_of == BOUNDARY_MS - 1
    assert now.freshness[VIEW.name].as_of == NOW_MS


@pytest.mark.parametrize(
    ("as_of", "told"),
    [
        ("soon", "is no time"),
        (str(BOUNDARY_MS), "is no time"),
        (True, "is no time"),
        (float(BOUNDARY_MS), "is no time"),
        (MOMENT.date(), "is no time"),
        (BOUNDARY_MS // 1000, "looks like seconds"),
        (10**30, "is no time in milliseconds"),
        (0, "is no time in milliseconds"),
        (datetime.max.replace(tzinfo=UTC), "is no time in milliseconds"),
        (pd.NaT, "is no time in milliseconds"),
    ],
)
def test_what_is_no_plausible_time_is_refused(
    store: SqliteStateStore, as_of: object, told: str
) -> None:
    materialize(store, BOUNDARY_MS - 1)
    with pytest.raises(BadRecordError, match=f"as_of=.* ?{told}"):
        reader(store).read([{"sensor": "a"}, {"sensor": "a", "as_of": as_of}])


@pytest.mark.parametrize("current", [5, True, b"e1"])
def test_the_event_that_is_decided_is_named_by_a_text_or_not_at_all(
    store: SqliteStateStore, current: object
) -> None:
    view = view_with(Count(windows=[Sliding("2d")], exclude_current=True))
    materialize(store, BOUNDARY_MS - 2, BOUNDARY_MS - 1, view=view)
    of_view, row = reader(store, view=view), {"sensor": "a", "as_of": BOUNDARY_MS}
    named, unnamed = of_view.read(
        [{**row, "current_event": f"e{BOUNDARY_MS - 2}"}, {**row, "current_event": None}]
    )
    assert ([*named.values()], [*unnamed.values()]) == ([1], [2])
    with pytest.raises(BadRecordError, match=r"current_event is .*, expected str"):
        of_view.read([{**row, "current_event": current}])


def test_a_time_that_is_no_longer_held_is_refused(store: SqliteStateStore) -> None:
    materialize(store, BOUNDARY_MS - 1)
    with pytest.raises(UnsupportedError, match="headrace features history"):
        reader(store).read([{"sensor": "a", "as_of": BOUNDARY_MS - 8 * DAY_MS}])


def test_no_rows_are_no_answers(store: SqliteStateStore) -> None:
    materialize(store, BOUNDARY_MS - 1)
    assert reader(store).read([]) == []


def test_a_service_may_refuse_what_is_incomplete(store: SqliteStateStore) -> None:
    strict = reader(store, Terms(incomplete="refuse"))
    materialize(store, BOUNDARY_MS - 1)
    stream(store, NOW_MS - 1, since_ms=BOUNDARY_MS + HOUR_MS)
    with pytest.raises(RetryableError, match=r"readings_lately is incomplete: .* count_2d "):
        strict.read([{"sensor": "a"}])
    assert strict.read([{"sensor": "a", "as_of": BOUNDARY_MS - 1}])[0][DAYS] == 1
    make_whole(store, view_key(VIEW), epoch=2)
    assert strict.read([{"sensor": "a"}])[0][DAYS] == 2


def test_a_service_may_have_empty_windows_while_the_store_is_away() -> None:
    with redis_server(appendonly="yes", appendfsync="always") as server:
        connection = RedisConnection(server.access(timeout=timedelta(seconds=2)))
        store = RedisStateStore(connection, "project")
        materialize(store, BOUNDARY_MS - 1)
        stream(store, NOW_MS - 1, since_ms=ALWAYS_MS)
        usual, lenient = reader(store), reader(store, Terms(unavailable="empty"))
        server.kill()
        with pytest.raises(RetryableError):
            usual.read([{"sensor": "a"}])
        (row,) = lenient.read([{"sensor": "a"}])
        assert row.to_dict() == {HOUR: 0, DAYS: 0, SUM: 0}
        assert row.incomplete == {HOUR, DAYS, SUM}
        assert row.not_found == {VIEW.name}
        server.start()
        # The same readers, without anything done to them.
        for one in (usual, lenient):
            assert one.read([{"sensor": "a"}])[0].to_dict() == {HOUR: 1, DAYS: 2, SUM: 12}
        connection.close()


def test_terms_that_are_not_offered_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="incomplete"):
        Terms(incomplete="hide")
    with pytest.raises(ConfigurationError, match="'soon' is not a duration"):
        Terms(max_lag="soon")
