"""Which windows may have events in neither layer."""

from __future__ import annotations

import pytest

from headrace_features.online.layers import ALWAYS_MS, Generation, Layers, StreamSpan
from headrace_features.partials.encoding import pack
from headrace_features.state.lacking import Lacking
from headrace_features.state.stream import is_covered

BOUNDARY_MS, WRITTEN_MS, KNOWN_MS = 1_000, 1_100, 1_050
LAG_MS = 10


def layers(
    *, since_ms: int | None = ALWAYS_MS, current_ms: int = 5_000, known_ms: int | None = None
) -> Layers:
    stream = None if since_ms is None else StreamSpan(1, since_ms, 0, 0, current_ms)
    return Layers(Generation(1, "view", BOUNDARY_MS, WRITTEN_MS, BOUNDARY_MS, known_ms), stream)


def test_a_window_after_the_boundary_needs_a_stream_that_keeps_up() -> None:
    assert not layers().incomplete(900, 5_010, LAG_MS)
    assert layers().incomplete(900, 5_011, LAG_MS)
    assert layers(since_ms=BOUNDARY_MS + 1).incomplete(900, 1_500, LAG_MS)
    assert not layers(since_ms=BOUNDARY_MS).incomplete(900, 1_500, LAG_MS)
    assert layers(since_ms=None).incomplete(900, BOUNDARY_MS, LAG_MS)
    assert not layers(since_ms=None).incomplete(900, BOUNDARY_MS - 1, LAG_MS)


def test_what_can_become_known_later_is_asked_for_as_of_the_time_of_the_question() -> None:
    held = layers(known_ms=KNOWN_MS)
    # The window ends long before, and facts about it may come all the time.
    assert not held.incomplete(100, 200, LAG_MS, known_ms=5_010)
    assert held.incomplete(100, 200, LAG_MS, known_ms=5_011)
    assert held.incomplete(900, 1_500, LAG_MS, known_ms=5_011)
    assert not held.incomplete(900, 1_500, LAG_MS, known_ms=5_010)


@pytest.mark.parametrize("asked_ms", [KNOWN_MS, KNOWN_MS + 1])
def test_what_the_batch_layer_leaves_out_has_to_be_in_the_stream_layer(asked_ms: int) -> None:
    later = asked_ms > KNOWN_MS
    began_later = layers(since_ms=KNOWN_MS + 1, known_ms=KNOWN_MS)
    assert began_later.incomplete(100, 200, LAG_MS, known_ms=asked_ms) is later
    without = layers(since_ms=None, known_ms=KNOWN_MS)
    assert without.incomplete(100, 200, LAG_MS, known_ms=asked_ms) is later
    in_time = layers(since_ms=KNOWN_MS, known_ms=KNOWN_MS)
    assert not in_time.incomplete(100, 200, LAG_MS, known_ms=asked_ms)


@pytest.mark.parametrize("since_ms", [None, ALWAYS_MS])
def test_a_layer_that_leaves_nothing_out_has_what_was_known_when_it_was_read(
    since_ms: int | None,
) -> None:
    held = layers(since_ms=since_ms)
    assert not held.incomplete(100, 200, LAG_MS, known_ms=WRITTEN_MS)
    assert held.incomplete(100, 200, LAG_MS, known_ms=WRITTEN_MS + 1)


@pytest.mark.parametrize(
    ("lacking", "known_ms", "lacks"),
    [
        # The window ends before the boundary, and the batch layer has all of that.
        (Lacking(BOUNDARY_MS - 1, 0), None, (False, False)),
        (Lacking(BOUNDARY_MS, 0), None, (False, True)),
        # The newest one that is missing is before the window, or in it.
        (Lacking(899, KNOWN_MS + 1), KNOWN_MS, (True, False)),
        (Lacking(900, KNOWN_MS + 1), KNOWN_MS, (True, True)),
        (Lacking(900, KNOWN_MS), KNOWN_MS, (False, False)),
        (Lacking(BOUNDARY_MS, KNOWN_MS), KNOWN_MS, (True, True)),
    ],
)
def test_what_the_stream_has_refused_may_be_missing_until_a_batch_layer_has_it(
    lacking: Lacking, known_ms: int | None, lacks: tuple[bool, bool]
) -> None:
    held = layers(known_ms=known_ms)
    spans = [(100, 200), (900, 1_500)]
    assert tuple(held.lacks(lacking, *span) for span in spans) == lacks
    content = pack([*lacking])
    covered = lacking.event_time_ms < BOUNDARY_MS and lacking.known_ms <= KNOWN_MS
    assert is_covered("m", content, BOUNDARY_MS, KNOWN_MS) is covered
    assert is_covered("m", content, BOUNDARY_MS, None) is (lacking.event_time_ms < BOUNDARY_MS)
