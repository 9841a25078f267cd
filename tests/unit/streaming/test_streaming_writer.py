"""The online writer's pure parts: batches, places of partitions, pauses, and what is complete."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_features.online.layers import ALWAYS_MS, NEVER_MS
from headrace_features.online.served import view_key
from headrace_features.online.store import Progress
from headrace_schemas.event_times import MOST_AHEAD_MS
from headrace_streaming.kafka.epochs import Announcement, Deployed
from headrace_streaming.writer.batches import Limits, collect
from headrace_streaming.writer.coverage import (
    Coverage,
    SentAround,
    complete_since,
    coverage_of,
)
from headrace_streaming.writer.patience import Patience
from headrace_streaming.writer.places import Place, Read

CARD, TERMINAL = view_key(card_activity), view_key(terminal_risk)
BOTH = [CARD, TERMINAL]
VIEWS = (card_activity, terminal_risk)
NOTHING: dict[str, dict[int, int]] = {"transactions": {0: 0, 1: 0}, "transaction_labels": {0: 0}}


class Topic:
    """Records that come at given times, on a clock that goes on only while they are waited for."""

    def __init__(self, *comes_s: float, size: int = 1) -> None:
        self.now_s = 0.0
        self._comes = list(comes_s)
        self._place = Place.after(0, None)
        self._value = bytes(size)

    def poll(self, timeout_s: float) -> Read | None:
        due_s = self._comes[0] if self._comes else float("inf")
        if due_s > self.now_s + timeout_s:
            self.now_s += timeout_s
            return None
        self.now_s = max(self.now_s, due_s)
        self._comes.pop(0)
        return Read(self._place, len(self._comes), self._value)

    def clock(self) -> float:
        return self.now_s


def collected(topic: Topic, limits: Limits) -> int:
    return len(collect(topic.poll, limits, topic.clock, 1.0))


def test_a_record_waits_only_a_little_for_others() -> None:
    topic = Topic(0.5, 0.503, 0.507)
    assert collected(topic, Limits(linger_s=0.005)) == 2
    assert topic.now_s == pytest.approx(0.505)
    assert collected(topic, Limits(linger_s=0.005)) == 1
    assert collected(topic, Limits()) == 0


def test_a_backlog_is_written_in_large_batches() -> None:
    waiting = Topic(*([0.0] * 100))
    assert collected(waiting, Limits(records=60)) == 60
    assert collected(waiting, Limits(records=60)) == 40


def test_a_batch_is_bounded_in_bytes_and_in_time() -> None:
    assert collected(Topic(*([0.0] * 10), size=40), Limits(size=100)) == 3
    trickle = Topic(*(0.004 * number for number in range(100)))
    assert collected(trickle, Limits(linger_s=1.0, longest_s=0.1)) == 26


def test_a_place_is_current_once_all_that_there_was_is_written() -> None:
    place = Place.after(3, None)
    assert (place.held, place.upto, place.lag) == (-1, 0, None)
    assert place.ended_at(0, 10, at_ms=1_000)
    assert place.lag == 10
    # The first end counts, however much comes after it.
    assert place.ended_at(0, 20, at_ms=2_000)
    assert place.progress(9) == Progress(9, 0)
    noted = place.progress(12)
    assert noted == Progress(12, 1_000)
    place.noted(noted)
    assert (place.held, place.upto, place.current_ms) == (12, 12, 1_000)
    assert place.ended_at(0, 12, at_ms=3_000)
    assert place.progress(12) == Progress(12, 3_000)


def test_what_the_broker_has_deleted_is_not_waited_for() -> None:
    place = Place.after(0, None)
    assert place.ended_at(50, 50, at_ms=1_000)
    assert place.progress(place.upto) == Progress(50, 1_000)


def test_a_topic_that_ends_before_what_was_written_is_another_one() -> None:
    place = Place.after(0, Progress(100, 7))
    assert not place.ended_at(0, 30, at_ms=1_000)
    assert (place.held, place.upto, place.lag) == (100, 0, None)


def test_pauses_grow_up_to_a_second_and_two_lines_are_told() -> None:
    told: list[str] = []
    patience = Patience(told.append)
    patience.succeeded("nothing was wrong")
    pauses = [patience.failed("it is down") for _ in range(8)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert patience.problem == "it is down"
    patience.succeeded("it is back")
    assert told == ["it is down; trying again until it works", "it is back"]
    assert patience.failed("again") == 0.05


def test_nothing_is_missing_of_what_was_read_from_its_beginning() -> None:
    assert complete_since({0: 0}, {}, announced_ms=9_000, lateness_ms=10) == ALWAYS_MS


def test_what_was_not_read_was_sent_before_the_first_record_that_was() -> None:
    around = {0: SentAround(5_000, None), 1: SentAround(7_000, 1), 2: SentAround(None, 6_000)}
    starts = {0: 1, 1: 2, 2: 3}
    assert complete_since(starts, around, announced_ms=9_000, lateness_ms=10) == 7_010


def test_what_never_was_in_a_topic_was_before_its_very_first_record() -> None:
    def since(starts: dict[int, int], around: dict[int, SentAround]) -> int:
        return complete_since(starts, around, announced_ms=9_000, lateness_ms=10, whole=False)

    around = {0: SentAround(5_000, None), 1: SentAround(7_000, None)}
    assert since({0: 0, 1: 0, 2: 0}, around) == 5_010
    assert since({0: 0, 1: 3}, around) == 7_010
    assert since({0: 0}, {}) == 9_010
    # A topic that was just made.
    assert since({}, {}) == 9_010


def test_where_no_record_is_left_the_time_of_the_announcement_holds() -> None:
    assert complete_since({4: 1}, {}, announced_ms=9_000, lateness_ms=10) == 9_010
    late = {0: SentAround(20_000, None)}
    # The first record that was read came long after the deployment.
    assert complete_since({0: 1}, late, announced_ms=9_000, lateness_ms=10) == 9_010


def deployed(  # noqa: PLR0913 - what differs between deployments
    epoch: int,
    *,
    starts: dict[str, dict[int, int]] | None = None,
    views: list[str] | None = None,
    restored_from: str | None = None,
    newest_state: bool = True,
    since_ms: dict[str, int] | None = None,
    also_in_files: list[str] | None = None,
    features: dict[str, list[str]] | None = None,
) -> Deployed:
    told = Announcement(
        project="fraud",
        mode="immediate",
        restored_from=restored_from,
        newest_state=newest_state and restored_from is not None,
        since_ms=since_ms,
        starts=starts,
        also_in_files=also_in_files,
        lateness_ms=100,
        views=views,
        features=features,
    )
    return Deployed(epoch, epoch * 1_000, told)


#: All have started, and don't say what they go on from.
RUNNING: dict[int, int | None] = dict.fromkeys(range(10))


def sent(topic: str, offsets: Mapping[int, int]) -> dict[int, SentAround]:
    """Each record is sent at the time of its offset."""
    assert topic in NOTHING
    return {partition: SentAround(offset, None) for partition, offset in offsets.items()}


def test_each_view_is_complete_as_far_as_its_own_source_was_read() -> None:
    starts = {"transactions": {0: 0, 1: 500}, "transaction_labels": {0: 0}}
    found = coverage_of([deployed(4, starts=starts, views=BOTH)], RUNNING, VIEWS, sent)
    assert found == {
        CARD: Coverage(4, 500 + MOST_AHEAD_MS, 4, 4),
        TERMINAL: Coverage(4, ALWAYS_MS, 4, 4),
    }


def test_one_that_goes_on_changes_nothing_and_one_that_begins_anew_does() -> None:
    first = deployed(1, starts=NOTHING, views=BOTH)
    on = deployed(2, restored_from="savepoint", views=BOTH)
    files = ["transactions"]
    anew = deployed(3, starts={"transactions": {0: 0, 1: 50}}, views=BOTH, also_in_files=files)
    assert coverage_of([first, on], RUNNING, VIEWS, sent)[CARD] == Coverage(1, ALWAYS_MS, 1, 1)
    found = coverage_of([first, on, anew], RUNNING, VIEWS, sent)
    assert found == {
        CARD: Coverage(3, 50 + MOST_AHEAD_MS, 3, 3),
        TERMINAL: Coverage(3, ALWAYS_MS, 3, 3),
    }


def test_one_that_goes_on_from_an_older_state_has_the_same_once_it_has_caught_up() -> None:
    first = deployed(1, starts=NOTHING, views=BOTH)
    on = deployed(2, restored_from="newest", views=BOTH)
    back = deployed(3, restored_from="older", newest_state=False, views=BOTH)
    later = deployed(4, restored_from="newest", views=BOTH)
    found = coverage_of([first, on, back, later], RUNNING, VIEWS, sent)
    assert found == {view: Coverage(3, ALWAYS_MS, 1, 1) for view in BOTH}


def test_one_that_goes_on_from_before_another_line_has_all_since_it_goes_on() -> None:
    first = deployed(1, starts=NOTHING, views=BOTH)
    anew = deployed(3, starts=NOTHING, views=[CARD])
    back = deployed(5, restored_from="of 1", newest_state=False, views=BOTH)
    on = deployed(7, restored_from="of 5", views=BOTH)
    untouched = Coverage(5, ALWAYS_MS, 1, 1)
    for later in ([], [on]):
        started = {1: 0, 3: 0, 5: 1, **{one.epoch: 5 for one in later}}
        found = coverage_of([first, anew, back, *later], started, VIEWS, sent)
        assert found == {CARD: Coverage(5, 5_000 + MOST_AHEAD_MS, 1, 5), TERMINAL: untouched}


def test_one_that_never_started_has_written_nothing() -> None:
    first = deployed(1, starts={"transactions": {0: 9}, "transaction_labels": {}}, views=BOTH)
    failed = deployed(2, starts=NOTHING, views=BOTH)
    back = deployed(3, restored_from="of 1", views=BOTH)
    found = coverage_of([first, failed, back], {1: 0, 3: 1}, VIEWS, sent)
    assert found == {
        CARD: Coverage(3, 9 + MOST_AHEAD_MS, 1, 3),
        TERMINAL: Coverage(3, ALWAYS_MS, 1, 3),
    }


def test_of_one_that_has_not_started_nothing_is_known_yet() -> None:
    first = deployed(1, starts=NOTHING, views=BOTH)
    anew = deployed(3, starts=NOTHING, views=BOTH)
    back = deployed(5, restored_from="of 1", newest_state=False, views=BOTH)
    before = coverage_of([first, anew], {1: 0, 3: 0}, VIEWS, sent)
    assert coverage_of([first, anew, back], {1: 0, 3: 0}, VIEWS, sent) == before
    assert coverage_of([back], {}, VIEWS, sent) == {}


def test_one_that_begins_with_the_lake_has_what_was_read_of_it() -> None:
    lake = {"transactions": {0: 40, 1: 50}, "transaction_labels": {0: 60}}
    since = {"transactions": 77}
    made = deployed(9, restored_from="made", since_ms=since, starts=lake, views=BOTH)
    found = coverage_of([deployed(1, starts=NOTHING, views=BOTH), made], RUNNING, VIEWS, sent)
    assert found == {CARD: Coverage(9, 77, 9, 9), TERMINAL: Coverage(9, ALWAYS_MS, 9, 9)}


def test_a_view_that_one_which_goes_on_writes_first_is_complete_since_then() -> None:
    first = deployed(1, starts=NOTHING, views=[CARD])
    on = deployed(2, restored_from="savepoint", views=BOTH)
    later = deployed(3, restored_from="savepoint", views=BOTH)
    found = coverage_of([first, on, later], RUNNING, VIEWS, sent)
    assert found == {
        CARD: Coverage(1, ALWAYS_MS, 1, 1),
        TERMINAL: Coverage(2, 2_000 + MOST_AHEAD_MS, 2, 2),
    }


def test_a_view_that_is_no_longer_written_is_not_complete() -> None:
    first = deployed(1, starts=NOTHING, views=BOTH)
    anew = deployed(2, starts=NOTHING, views=[CARD])
    found = coverage_of([first, anew], RUNNING, VIEWS, sent)
    assert found == {CARD: Coverage(2, ALWAYS_MS, 2, 2), TERMINAL: Coverage(2, NEVER_MS, 2, 2)}


def test_older_deployments_are_known_by_the_names_of_their_features() -> None:
    same = {"card_activity": list(card_activity.feature_names), "terminal_risk": ["other"]}
    found = coverage_of([deployed(1, starts=NOTHING, features=same)], RUNNING, VIEWS, sent)
    assert found == {CARD: Coverage(1, ALWAYS_MS, 1, 1), TERMINAL: Coverage(1, NEVER_MS, 1, 1)}
    # Still older ones tell nothing of what they write.
    assert coverage_of([deployed(1, starts=NOTHING)], RUNNING, VIEWS, sent) == {}
    assert coverage_of([], RUNNING, VIEWS, sent) == {}
