"""The operator holds events to the rules of their source as batch does."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_features.records import RecordReader
from headrace_features.stream_plan.plan import compile_plan, plan_json
from headrace_schemas.errors import BadRecordError
from operator_jvm import Jvm
from ruled_readings import NOON_MS, RECORDS, Reading, project, readings

PLACE = [source["name"] for source in compile_plan(project())["sources"]].index("readings")


@pytest.fixture(scope="module")
def operator() -> Iterator[Jvm]:
    jvm = Jvm("DecodeMain")
    jvm.ask([{"op": "plan", "plan": plan_json(project())}])
    yield jvm
    jvm.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(records=st.lists(RECORDS, min_size=1, max_size=20))
def test_the_operator_refuses_what_breaks_a_rule_in_the_words_of_batch(
    operator: Jvm, records: list[dict[str, Any]]
) -> None:
    values = [readings.codec.encode(Reading(**record)) for record in records]
    answers = operator.ask(
        {
            "op": "hold",
            "source": PLACE,
            "raw": base64.b64encode(value).decode(),
            "known_at": record["event_time"],
            "sent_at": NOON_MS,
        }
        for value, record in zip(values, records, strict=True)
    )
    assert answers == [judged(value) for value in values]


def judged(value: bytes) -> dict[str, str]:
    try:
        RecordReader(readings).read(value, NOON_MS)
    except BadRecordError as error:
        return {"reason": str(error.reason), "message": str(error)}
    return {}
