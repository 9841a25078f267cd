"""An ingest from a topic begins where the table ends, and says what it can't bring."""

from __future__ import annotations

import pytest

from headrace_batch.ingest.broker import TopicNow
from headrace_batch.ingest.covered import Covered
from headrace_batch.ingest.topic_start import Start, start_of
from headrace_schemas.errors import ConfigurationError

NOTHING = Covered(None, {})
DONE = Covered(7, {0: 10, 1: 20})


def topic(earliest: dict[int, int], latest: dict[int, int], identity: int = 7) -> TopicNow:
    return TopicNow("clicks", identity, earliest, latest)


def start(now: TopicNow, covered: Covered, *, skip_lost: bool = False) -> Start:
    return start_of(now, covered, "bronze.clicks", skip_lost=skip_lost)


def test_it_goes_on_where_the_table_ends_and_takes_new_partitions_along() -> None:
    now = topic({0: 0, 1: 20, 2: 0}, {0: 10, 1: 25, 2: 3})
    assert start(now, DONE) == Start({0: 10, 1: 20, 2: 0}, (), skips=False)


def test_a_first_run_begins_with_the_oldest_records_and_tells_what_is_gone() -> None:
    assert start(topic({0: 0}, {0: 9}), NOTHING) == Start({0: 0}, (), skips=False)
    begun = start(topic({0: 3, 1: 0}, {0: 9, 1: 9}), NOTHING)
    assert begun.offsets == {0: 3, 1: 0}
    assert begun.notes == ("topic clicks no longer has offsets 0 to 2 of partition 0",)


def test_a_topic_made_anew_is_read_from_its_start() -> None:
    begun = start(topic({0: 0, 1: 0}, {0: 99, 1: 99}, identity=8), DONE)
    assert begun.offsets == {0: 0, 1: 0}
    assert "made anew" in begun.notes[0]


def test_records_that_were_deleted_unread_are_named_and_skipped_only_when_told_so() -> None:
    now = topic({0: 12, 1: 25}, {0: 12, 1: 30})
    lost = "offsets 10 to 11 of partition 0, offsets 20 to 24 of partition 1"
    with pytest.raises(ConfigurationError, match=f"topic clicks that bronze.clicks lacks: {lost}"):
        start(now, DONE)
    skipping = start(now, DONE, skip_lost=True)
    assert skipping.offsets == {0: 12, 1: 25}
    assert skipping.notes == (f"skipped, as the broker has deleted them: {lost}",)
    assert skipping.skips


def test_a_topic_that_ends_before_the_table_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"up to 10 of partition 0 \(ends at 4\)"):
        start(topic({0: 0, 1: 0}, {0: 4, 1: 20}), DONE)
