"""What the stream writes for the online store gives the oracle's values when it is read."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_features import Session, Sliding, Tumbling, Unbounded, oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.oracle import SpineRow
from headrace_features.partials.plan import plan_of
from headrace_features.state.stream import StreamState
from headrace_schemas.errors import BadRecordError
from histories import LATE, PROMPT, bits, view_of, weeks
from operator_jvm import Jvm
from operator_requests import CALENDAR, absorbing, planned

VIEWS = {
    "prompt, exact": view_of(
        PROMPT, (Sliding("3h"), Sliding("1d", delay="12h"), Tumbling("90m"), Session("2h"))
    ),
    "prompt, coarse": view_of(
        PROMPT, (Sliding("2d", hop="6h"), Sliding("2d", hop="1h", delay="6h"), Tumbling("1d"))
    ),
    "late, exact": view_of(LATE, (Sliding("2d"), Session("30m", delay="6h"))),
    "late, open": view_of(LATE, (Sliding("2d", hop="5m"), Unbounded(), Unbounded(delay="1d"))),
    "late, coarse": view_of(LATE, (Sliding("2d", hop="6h", delay="6h"), Unbounded())),
}


@pytest.mark.parametrize("name", VIEWS)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_at_any_time_fields_give_the_oracle_s_values(
    name: str, engine: Jvm, data: st.DataObject
) -> None:
    view = VIEWS[name]
    lateness = data.draw(st.sampled_from([0, HOUR_MS, 3 * DAY_MS, 100 * DAY_MS]))
    events = data.draw(weeks())
    if data.draw(st.booleans()):
        events.sort(key=lambda event: str(event["event_time"]).zfill(20))
    requests: list[dict[str, Any]] = [
        planned(
            view,
            lateness=lateness,
            widths=CALENDAR,
            chunk=data.draw(st.sampled_from([2, 256])),
        )
    ]
    requests += [absorbing(view, event) for event in events]
    requests.append({"op": "fields", "key": "a"})

    answers = engine.ask(requests)

    taken = zip(events, answers[1:-1], strict=True)
    absorbed = [event for event, answer in taken if answer["became"] == "ABSORBED"]
    fields = {field: b64decode(content) for field, content in answers[-1]["fields"].items()}
    for _ in range(6):
        hour = data.draw(st.integers(-11 * 24, 21 * 24))
        time_ms = hour * HOUR_MS + data.draw(st.sampled_from([0, 1, -1, 777_777]))
        known = [str(row["reading_id"]) for row in absorbed]
        current = data.draw(st.sampled_from([None, "none such", *known]))
        try:
            expected = oracle.values(view, absorbed, [SpineRow("a", time_ms, current)])[0]
        except BadRecordError:
            continue
        state = StreamState(plan_of(view), fields, time_ms)
        found = {f.name: bits(state.value(f, current)) for f in view.features}
        assert found == {feature: bits(value) for feature, value in expected.items()}


def test_hours_and_days_that_ended_have_tiles(engine: Jvm) -> None:
    view = VIEWS["prompt, coarse"]
    base: dict[str, Any] = dict.fromkeys(("amount", "price", "place", "flag"))
    times = [number * 7 * 60_000 for number in range(1_000)]
    events = [
        base | {"reading_id": f"{number:04d}", "sensor": "a", "event_time": time_ms}
        for number, time_ms in enumerate(times)
    ]

    requests = [planned(view, lateness=HOUR_MS, widths=CALENDAR)]
    requests += [absorbing(view, event) for event in events]
    *_, absorbed, told = engine.ask([*requests, {"op": "fields", "key": "a"}])

    names = told["fields"]
    last_hour = times[-1] // HOUR_MS
    assert {f"h{hour}" for hour in range(last_hour - 1)} <= set(names)
    assert {f"d{day}" for day in range(times[-1] // DAY_MS)} <= set(names)
    assert f"h{last_hour}" not in names
    # What is older than a day is folded, an hour to a tile.
    assert absorbed["raw"] < 500
    assert absorbed["tiles"] < 60
