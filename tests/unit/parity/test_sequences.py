from __future__ import annotations

import numpy as np
import pyarrow as pa

from headrace_orchestration.parity.columns import same
from headrace_orchestration.parity.sequences import UNKNOWN, Sending, fact_places, told_places


def ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def test_each_event_stands_where_its_decision_says() -> None:
    told = told_places(ints(0, 1, 0, 0), ints(5, 5, 9, 7), ints(1, 1, 3, 2), ordered=False)
    assert told.place.tolist() == [1, 1, 3, 2]
    assert not told.broken


def test_an_event_without_a_decision_gets_the_number_that_is_missing() -> None:
    told = told_places(ints(0, 0, 0), ints(1, 2, 3), ints(3, UNKNOWN, 1), ordered=False)
    assert told.place.tolist() == [3, 2, 1]
    assert not told.broken


def test_numbers_told_twice_or_by_none_break_the_sequence_of_their_entity_alone() -> None:
    entity, sequence = ints(0, 0, 0, 1, 1, 2), ints(1, 3, 3, 1, 5, 1)
    told = told_places(entity, ints(1, 2, 3, 1, 2, 1), sequence, ordered=False)
    assert told.broken == {
        0: ("3 is told 2 times, 2 by none", (1, 2)),
        1: ("5 is outside 1 … 2, 2 by none", (4,)),
    }


def test_in_ordered_mode_the_events_of_an_instant_share_a_number() -> None:
    told = told_places(ints(0, 0, 0, 0), ints(5, 7, 5, 9), ints(2, 3, 2, 4), ordered=True)
    assert told.place.tolist() == [2, 3, 2, 4]
    assert not told.broken


def test_in_ordered_mode_an_event_behind_the_watermark_has_a_number_of_its_own() -> None:
    told = told_places(ints(0, 0, 0), ints(5, 5, 9), ints(1, 3, 2), ordered=True)
    assert told.place.tolist() == [1, 3, 2]
    assert not told.broken


def test_in_ordered_mode_a_number_that_counts_wrong_breaks_the_sequence() -> None:
    told = told_places(ints(0, 0, 0), ints(5, 7, 9), ints(1, 3, 3), ordered=True)
    assert not told.broken  # the second may have come when the third was answered
    told = told_places(ints(0, 0, 0), ints(5, 7, 9), ints(1, 2, 4), ordered=True)
    assert told.broken == {0: ("4 is told where 3 events are counted", (2,))}


def test_labels_stand_in_the_order_of_their_partition() -> None:
    sending = Sending(ints(9, 3, 1, 2), ints(0, 0, 0, 1), ints(10, 11, 12, 5))
    places = fact_places(ints(0, 0, 1, 1), ints(1, 1, 1, 1), sending, ordered=False)
    # Entity 0 by offsets, whatever the clocks said; entity 1, of two partitions, by the clocks.
    assert places.tolist() == [1, 2, 1, 2]


def test_in_ordered_mode_labels_stand_in_the_order_of_their_instants() -> None:
    sending = Sending(ints(1, 2, 3), ints(0, 0, 0), ints(1, 2, 3))
    places = fact_places(ints(0, 0, 0), ints(8, 5, 8), sending, ordered=True)
    assert places.tolist() == [3, 1, 3]


def test_doubles_are_the_same_by_their_bits_and_every_nan_is_one() -> None:
    other_nan = np.array([-0x8000000000001], np.int64).view(np.float64)[0]
    left = pa.chunked_array([[0.0, 0.1 + 0.2, float("nan")], [None, None, 1.0]], pa.float64())
    right = pa.chunked_array([[-0.0, 0.3, other_nan, None, 0.0, 1.0]], pa.float64())
    assert same(left, right).tolist() == [False, False, True, True, False, True]


def test_other_values_are_the_same_if_they_are_equal_or_both_none() -> None:
    left = pa.chunked_array([["a", None, "", None]], pa.string())
    right = pa.chunked_array([["a", None, None, ""]], pa.string())
    assert same(left, right).tolist() == [True, True, False, False]
    assert same(pa.chunked_array([], pa.int64()), pa.chunked_array([], pa.int64())).tolist() == []
