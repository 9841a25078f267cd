"""The stream's operator gives the oracle's bits whatever arrives in whatever order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_features import FeatureView, Session, Sliding, Tumbling, Unbounded, oracle
from headrace_features.oracle import Row, SpineRow
from headrace_schemas.errors import BadRecordError
from histories import LATE, PROMPT, WINDOWS, bits, histories, time_of, view_of
from operator_jvm import Jvm, read
from operator_requests import CALENDAR, FINE, absorbing, asked, planned

EXACT = (Sliding("7ms"), Sliding("9ms", delay="4ms"))
COARSE = (
    Sliding("20ms", hop="5ms"),
    Sliding("20ms", hop="5ms", delay="6ms"),
    Tumbling("8ms"),
    Tumbling("4ms", delay="3ms"),
)
OPEN = (Session("3ms"), Session("5ms", delay="2ms"), Unbounded(), Unbounded(delay="4ms"))
SESSIONS = (Session("3ms"), Session("6ms", delay="2ms"))
VIEWS = {
    "everything": view_of(PROMPT, WINDOWS),
    "everything, known late": view_of(LATE, WINDOWS),
    "exact": view_of(PROMPT, EXACT),
    "coarse": view_of(PROMPT, COARSE),
    "coarse, known late": view_of(LATE, COARSE),
    "coarse and open": view_of(LATE, (*COARSE[:2], *OPEN)),
    "sessions": view_of(PROMPT, SESSIONS),
    "sessions, known late": view_of(LATE, SESSIONS),
}


@pytest.mark.parametrize("name", VIEWS)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_after_each_event_values_equal_the_oracle_s(
    name: str, engine: Jvm, data: st.DataObject
) -> None:
    view = VIEWS[name]
    lateness = data.draw(st.sampled_from([0, 3, 10, 10_000]))
    events = data.draw(st.permutations(data.draw(histories())))
    requests: list[dict[str, Any]] = [
        planned(
            view,
            lateness=lateness,
            widths=data.draw(st.sampled_from([FINE, CALENDAR])),
            chunk=data.draw(st.sampled_from([2, 256])),
        )
    ]
    rows: list[tuple[int, SpineRow]] = []
    for number, event in enumerate(events):
        requests.append(absorbing(view, event))
        at_ms = time_of(event) + data.draw(st.sampled_from([0, 0, 1, 2, 7, 20, 50]))
        # The event that is decided is of the time that is asked about: an older one may be folded.
        own = event["reading_id"] if at_ms == time_of(event) else "none such"
        current = data.draw(st.sampled_from([None, own, "none such"]))
        row = SpineRow(str(event["sensor"]), at_ms, None if current is None else str(current))
        rows.append((number, row))
        requests.append(asked(row.key, row.time_ms, row.current))

    answers = engine.ask(requests)

    absorbed: list[Row] = []
    for number, row in rows:
        became, answer = answers[1 + 2 * number], answers[2 + 2 * number]
        if became["became"] == "ABSORBED":
            absorbed.append(events[number])
        if not answer["late"]:
            require(view, absorbed, row, answer)


def require(view: FeatureView, absorbed: Sequence[Row], row: SpineRow, answer: Any) -> None:
    if "error" in answer:
        with pytest.raises(BadRecordError) as caught:
            oracle.values(view, absorbed, [row])
        assert answer["error"] == caught.value.reason
        return
    expected = oracle.values(view, absorbed, [row])[0]
    found = dict(zip(view.feature_names, map(read, answer["values"]), strict=True))
    assert {n: bits(v) for n, v in found.items()} == {n: bits(v) for n, v in expected.items()}


def test_old_events_are_folded_so_that_a_busy_entity_stays_small(engine: Jvm) -> None:
    view = view_of(PROMPT, COARSE)
    requests: list[dict[str, Any]] = [planned(view, lateness=2, widths=FINE)]
    for number in range(5_000):
        event: dict[str, Any] = {
            "reading_id": f"{number:05d}",
            "sensor": "busy",
            "event_time": number // 50,
            "known_at": number // 50,
            "amount": number,
            "price": 0.5,
            "place": "DE",
            "flag": True,
        }
        requests.append(absorbing(view, event))

    last = engine.ask(requests)[-1]

    assert last["raw"] < 500
    assert last["tiles"] < 40


def test_an_event_whose_tile_was_dropped_is_not_absorbed(engine: Jvm) -> None:
    view = view_of(PROMPT, EXACT)
    base: dict[str, Any] = dict.fromkeys(("amount", "price", "place", "flag"))
    events = [
        base | {"reading_id": "a", "sensor": "s", "event_time": 0, "known_at": 0},
        base | {"reading_id": "b", "sensor": "s", "event_time": 100, "known_at": 100},
        base | {"reading_id": "c", "sensor": "s", "event_time": 0, "known_at": 0},
        base | {"reading_id": "d", "sensor": "s", "event_time": 50, "known_at": 50},
    ]
    plan = planned(view, lateness=0, widths=CALENDAR)

    answers = engine.ask([plan, *(absorbing(view, event) for event in events)])

    assert [answer["became"] for answer in answers[1:]] == [
        "ABSORBED",
        "ABSORBED",
        "TOO_OLD",
        "ABSORBED",
    ]
    assert [answer["late"] for answer in answers[1:]] == [False, False, True, True]
    assert [answer["sequence"] for answer in answers[1:]] == [1, 2, 2, 3]
