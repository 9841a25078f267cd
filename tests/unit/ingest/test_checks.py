from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from headrace_batch.ingest.checks import CheckedRows, Circumstances, check, with_date
from headrace_batch.ingest.contract import Contract, contract_of
from headrace_batch.ingest.feeds import plain_feed
from headrace_batch.ingest.jsonl_reader import _LineReader
from headrace_batch.ingest.raw_rows import Numbers, RawRows
from headrace_features.definitions.sources import EventSource
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.event_times import MOST_AHEAD_MS
from headrace_schemas.events import Event, Identifier, TimeMs
from headrace_schemas.record_checks import first_problem


class Sample(Event, frozen=True, kw_only=True):
    """A column of every type and every kind of check."""

    event_id: Identifier
    event_time: TimeMs
    seen_at: TimeMs | None = None
    level: Annotated[int, Meta(ge=-5, le=5)]
    ratio: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    anything: float | None = None
    code: Annotated[str, Meta(min_length=2, max_length=3, pattern="^[A-Z]+$")] | None = None
    note: str
    flag: bool


SOURCE = EventSource(name="samples", schema=Sample, dedup_key="event_id")
CONTRACT = contract_of(SOURCE)

GOOD = Sample(
    event_id="e", event_time=1_522_540_800_000, level=1, note="", flag=True, ratio=0.5, code="DE"
)

TIMES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([946_684_800_000, 946_684_799_999, 4_102_444_799_999, 4_102_444_800_000]),
    st.sampled_from([1_522_540_800, 1_522_540_800_000_000, 1_522_540_800_000_000_000, 0, -1]),
    st.integers(946_684_800_000, 4_102_444_799_999),
)
FLOATS = st.none() | st.floats() | st.sampled_from([0.0, 1.0, -0.0, 1.0000000001, 0.5])
TEXTS = st.one_of(
    st.none(),
    st.sampled_from(["DE", "DEU", "D", "DEUT", "de", "", "DE\n", "ÄÖ", "AÉ"]),
    st.text(),
)
RECORDS = st.fixed_dictionaries(
    {
        "event_id": st.none() | st.text(max_size=2),
        "event_time": TIMES,
        "seen_at": TIMES,
        "level": st.none() | st.integers(-7, 7),
        "ratio": FLOATS,
        "anything": FLOATS,
        "code": TEXTS,
        "note": st.none() | st.sampled_from(["", "x"]),
        "flag": st.none() | st.booleans(),
    }
)


def numbers_of(rows: int) -> Numbers:
    return np.arange(1, rows + 1, dtype=np.int64)


def check_records(
    records: list[dict[str, Any]], contract: Contract = CONTRACT, now_ms: int | None = None
) -> CheckedRows:
    table = pa.Table.from_pylist(records, contract.schema)
    raw = RawRows(table, numbers_of(len(records)), (), len(records))
    return check(raw, plain_feed(contract.source).take(table), contract, Circumstances(now_ms))


def check_lines(lines: list[bytes]) -> CheckedRows:
    raw = _LineReader(CONTRACT).rows(lines, 1)
    return check(raw, plain_feed(SOURCE).take(raw.table), CONTRACT)


def reasons(checked: CheckedRows) -> dict[int, list[tuple[str, str]]]:
    return {
        row.number: [(problem.reason.value, problem.column) for problem in row.problems]
        for row in checked.rejected
    }


@given(st.lists(RECORDS, min_size=1, max_size=20))
def test_rows_in_columns_get_the_reasons_that_records_get(records: list[dict[str, Any]]) -> None:
    expected = {}
    for number, record in enumerate(records, start=1):
        found = [first_problem(record, [column], owner="Sample") for column in CONTRACT.columns]
        problems = [(one.reason.value, one.field) for one in found if one is not None]
        if problems:
            expected[number] = problems
    checked = check_records(records)
    assert reasons(checked) == expected
    assert checked.numbers.tolist() == [
        number for number in range(1, len(records) + 1) if number not in expected
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=3,
)
LINES = st.one_of(
    st.binary(max_size=12).filter(lambda raw: raw.strip() and b"\n" not in raw),
    RECORDS.map(msgspec.json.encode),
    st.builds(
        lambda changes: msgspec.json.encode(msgspec.structs.asdict(GOOD) | changes),
        st.dictionaries(st.sampled_from([c.name for c in CONTRACT.columns]), VALUES, max_size=2),
    ),
    st.builds(
        lambda absent: msgspec.json.encode(
            {k: v for k, v in msgspec.structs.asdict(GOOD).items() if k not in absent}
        ),
        st.sets(st.sampled_from([c.name for c in CONTRACT.columns]), max_size=2),
    ),
)


def judged_by_the_codec(line: bytes) -> dict[str, Any] | tuple[str, str]:
    """The event in a line, or the first reason against it."""
    try:
        return msgspec.structs.asdict(CONTRACT.codec.decode(line))
    except BadRecordError as error:
        return error.reason.value, error.field or ""


@given(st.lists(LINES, min_size=1, max_size=8))
def test_lines_are_accepted_and_refused_as_by_the_codec(lines: list[bytes]) -> None:
    checked = check_lines(lines)
    found: dict[int, dict[str, Any] | tuple[str, str]] = {
        number: problems[0] for number, problems in reasons(checked).items()
    }
    for number, event in zip(checked.numbers.tolist(), checked.good.to_pylist(), strict=True):
        found[number] = {name: event[name] for name in CONTRACT.schema.names}
    assert found == dict(enumerate(map(judged_by_the_codec, lines), start=1))


def test_a_row_is_rejected_with_all_its_reasons() -> None:
    bad = msgspec.structs.asdict(GOOD) | {"event_id": "", "level": 9, "code": "x", "flag": None}
    checked = check_records([bad, msgspec.structs.asdict(GOOD)])
    assert reasons(checked) == {
        1: [
            ("null_key", "event_id"),
            ("out_of_range", "level"),
            ("bad_format", "code"),
            ("null_value", "flag"),
        ]
    }
    assert checked.good.num_rows == 1


def test_the_codec_and_the_checks_know_the_same_keys_and_times() -> None:
    class Bare(Event, frozen=True, kw_only=True):
        key: str
        at: int
        known: int

    source = EventSource(
        name="bare", schema=Bare, dedup_key="key", event_time="at", available_at="known"
    )
    contract = contract_of(source)
    good = 1_522_540_800_000
    checked = check_records(
        [{"key": "", "at": good, "known": good}, {"key": "k", "at": 5, "known": 1_522_540_800}],
        contract,
    )
    assert reasons(checked) == {
        1: [("null_key", "key")],
        2: [("event_time_out_of_range", "at"), ("event_time_wrong_unit", "known")],
    }


def test_a_column_with_the_name_of_the_partition_column_is_refused() -> None:
    class Dated(Event, frozen=True, kw_only=True):
        event_id: Identifier
        event_time: TimeMs
        event_date: str

    with pytest.raises(ConfigurationError, match=r"Dated.event_date has the name of the column"):
        contract_of(EventSource(name="dated", schema=Dated))


@pytest.mark.parametrize(
    ("time_ms", "day"), [(0, "1970-01-01"), (-1, "1969-12-31"), (86_399_999, "1970-01-01")]
)
def test_the_day_of_an_event_is_rounded_down_also_before_1970(time_ms: int, day: str) -> None:
    dated = with_date(pa.table({"event_time": [time_ms]}), "event_time")
    assert str(dated.column("event_date")[0]) == day


class Reported(Event, frozen=True, kw_only=True):
    """Something that is known later than it was, and has a time of something else."""

    event_id: Identifier
    event_time: TimeMs
    reported_at: TimeMs
    due_at: TimeMs


def test_events_that_lie_further_ahead_than_a_stream_would_take_are_refused() -> None:
    now_ms = GOOD.event_time
    latest_ms = now_ms + MOST_AHEAD_MS
    times = [
        (latest_ms, latest_ms, latest_ms + 1),
        (latest_ms, latest_ms + 1, now_ms),
        (latest_ms + 1, latest_ms + 1, now_ms),
    ]
    contract = contract_of(EventSource("reported", Reported, available_at="reported_at"))
    records = [
        {"event_id": "e", "event_time": time_ms, "reported_at": reported_ms, "due_at": due_ms}
        for time_ms, reported_ms, due_ms in times
    ]
    event_time, reported_at = (
        ("event_time_out_of_range", name) for name in ("event_time", "reported_at")
    )
    found = reasons(check_records(records, contract, now_ms))
    assert found == {2: [reported_at], 3: [event_time, reported_at]}
    assert not reasons(check_records(records, contract))
