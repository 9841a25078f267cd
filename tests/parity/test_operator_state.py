"""State goes on under a plan that declares more, and empties itself, without a wrong value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_features import (
    Count,
    Distinct,
    FeatureView,
    Last,
    Mean,
    Min,
    Session,
    Sliding,
    StdDev,
    Sum,
    Tumbling,
    Unbounded,
    oracle,
    struct,
)
from headrace_features.oracle import Row, SpineRow
from headrace_schemas.errors import BadRecordError
from histories import LATE, PROMPT, bits, histories, time_of, view_of, view_with
from operator_jvm import Jvm, read
from operator_requests import CALENDAR, FINE, absorbing, asked, planned

PLAIN = (Sliding("7ms"), Sliding("20ms", hop="5ms"), Tumbling("8ms"))
BEFORE = (
    Count(windows=PLAIN),
    Mean("amount", windows=PLAIN[:2]),
    Last("place", windows=[Sliding("20ms")]),
)
ADDED = (
    Min("price", windows=[Sliding("7ms"), Session("3ms")]),
    Last(struct("flag", "place"), windows=[Sliding("20ms")]),
    Distinct("place", windows=PLAIN),
    StdDev("amount", windows=PLAIN[1:]),
    Mean("amount", windows=PLAIN[:2]),
    Count(windows=(*PLAIN, Sliding("50ms"))),
    Sum("amount", windows=[Unbounded()]),
)
EXACT = (Count(windows=[Sliding("9ms")]), Last("place", windows=[Sliding("9ms")]))
EXACT_MORE = (*EXACT, Sum("amount", windows=[Sliding("5ms"), Sliding("30ms")]))
CHANGES = {
    "coarse": (view_with(*BEFORE), view_with(*ADDED)),
    "known late": (view_with(*BEFORE, source=LATE), view_with(*ADDED, source=LATE)),
    "exact": (view_with(*EXACT), view_with(*EXACT_MORE)),
}


def expected(view: FeatureView, absorbed: Sequence[Row], row: SpineRow) -> dict[str, object] | None:
    try:
        found = oracle.values(view, absorbed, [row])[0]
    except BadRecordError:
        return None
    return {name: bits(value) for name, value in found.items()}


@pytest.mark.parametrize("name", CHANGES)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_added_features_are_right_or_unknown_and_the_others_are_right(
    name: str, engine: Jvm, data: st.DataObject
) -> None:
    before, after = CHANGES[name]
    events = data.draw(st.permutations(data.draw(histories())))
    cut = data.draw(st.integers(0, len(events)))
    same: dict[str, Any] = {
        "lateness": data.draw(st.sampled_from([0, 3, 10])),
        "widths": data.draw(st.sampled_from([FINE, CALENDAR])),
        "chunk": data.draw(st.sampled_from([2, 256])),
    }
    requests = [planned(before, **same)]
    requests += [absorbing(before, event) for event in events[:cut]]
    requests.append(planned(after, **same, keeps=True))
    rows: list[tuple[int, SpineRow]] = []
    for number, event in enumerate(events[cut:], cut):
        requests.append(absorbing(after, event))
        row = SpineRow(str(event["sensor"]), time_of(event) + data.draw(st.sampled_from([0, 1, 9])))
        rows.append((number, row))
        requests.append(asked(row.key, row.time_ms))

    answers = engine.ask(requests)

    kept = {f.name for f in before.features} & {f.name for f in after.features}
    taken = zip(events[:cut], answers[1 : 1 + cut], strict=True)
    absorbed = [event for event, answer in taken if answer["became"] == "ABSORBED"]
    for (number, row), became, answer in zip(
        rows, answers[2 + cut :: 2], answers[3 + cut :: 2], strict=True
    ):
        absorbed += [events[number]] if became["became"] == "ABSORBED" else []
        right = expected(after, absorbed, row)
        if answer["late"] or right is None or "error" in answer:
            continue
        found = dict(zip(after.feature_names, map(read, answer["values"]), strict=True))
        wrong = {n for n, v in found.items() if bits(v) != right[n]}
        assert not wrong & kept
        assert all(found[feature] is None for feature in wrong)
        assert answer["incomplete"] or not wrong


def test_an_added_feature_is_known_once_its_window_reaches_only_what_came_since(
    engine: Jvm,
) -> None:
    before, after = CHANGES["exact"]
    base: dict[str, Any] = dict.fromkeys(("price", "place", "flag"))
    events = [
        base | {"reading_id": f"{t:02d}", "sensor": "a", "event_time": t, "amount": t}
        for t in range(60)
    ]
    same: dict[str, Any] = {"lateness": 0, "widths": CALENDAR}
    requests = [planned(before, **same), *(absorbing(before, e) for e in events[:20])]
    requests.append(planned(after, **same, keeps=True))
    for event in events[20:]:
        requests += [absorbing(after, event), asked("a", time_of(event))]

    answers = engine.ask(requests)[23::2]

    place = after.feature_names.index("amount_sum_30ms")
    known = [answer["values"][place] is not None for answer in answers]
    # Event 19 is the last that was taken in without its amount.
    assert known.index(True) == 20 - 20 + 30 - 1
    assert all(known[known.index(True) :])
    assert [answer["incomplete"] for answer in answers] == [not one for one in known]


def test_state_of_other_events_is_not_gone_on_with(engine: Jvm) -> None:
    before = view_with(*BEFORE)
    requests = [
        planned(before, lateness=0, widths=CALENDAR),
        absorbing(before, histories_of_one()),
        planned(
            view_with(*BEFORE, filter="amount > 0"),
            lateness=0,
            widths=CALENDAR,
            keeps=True,
        ),
        asked("a", 5),
    ]
    assert "is of other events" in engine.ask(requests)[-1]["refused"]


def histories_of_one() -> Row:
    base: dict[str, Any] = dict.fromkeys(("price", "place", "flag"))
    return base | {"reading_id": "1", "sensor": "a", "event_time": 1, "amount": 1}


@pytest.mark.parametrize("source", [PROMPT, LATE], ids=lambda s: s.name)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_state_that_was_emptied_gives_right_values_or_none(
    source: Any, engine: Jvm, data: st.DataObject
) -> None:
    view = view_of(
        source,
        (Sliding("7ms"), Sliding("20ms", hop="5ms", delay="6ms"), Tumbling("8ms"), Session("3ms")),
    )
    events = data.draw(st.permutations(data.draw(histories())))
    lateness = data.draw(st.sampled_from([0, 3, 10]))
    chunk = data.draw(st.sampled_from([2, 256]))
    requests = [planned(view, lateness=lateness, widths=FINE, chunk=chunk)]
    rows: list[tuple[int, SpineRow]] = []
    newest = 0
    for number, event in enumerate(events):
        newest = max(newest, time_of(event))
        row = SpineRow(str(event["sensor"]), time_of(event) + data.draw(st.sampled_from([0, 1, 9])))
        rows.append((number, row))
        requests += [
            {
                "op": "expire",
                "key": row.key,
                "time": newest - data.draw(st.sampled_from([0, 3, 30])),
            },
            absorbing(view, event),
            asked(row.key, row.time_ms),
        ]

    answers = engine.ask(requests)[1:]

    absorbed: list[Row] = []
    for (number, row), became, answer in zip(rows, answers[1::3], answers[2::3], strict=True):
        absorbed += [events[number]] if became["became"] == "ABSORBED" else []
        right = expected(view, absorbed, row)
        if answer["late"] or right is None or "error" in answer:
            continue
        found = dict(zip(view.feature_names, map(read, answer["values"]), strict=True))
        assert {n: bits(v) for n, v in found.items()} == right
