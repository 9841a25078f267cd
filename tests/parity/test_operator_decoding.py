"""The operator accepts, refuses and evaluates what the contracts and the oracle do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import operator_records
from headrace_features.definitions.sources import EventSource
from headrace_features.expressions.grammar import parse
from headrace_features.expressions.great_circle import great_circle_km
from headrace_features.fraud import definitions as fraud
from headrace_features.project import collect
from headrace_features.stream_plan.expressions import expression
from headrace_features.stream_plan.plan import compile_plan, plan_json
from headrace_schemas.columns import ColumnType
from histories import bits
from operator_jvm import Jvm, read, sent
from truth_table import LINES, Line

PROJECT = collect("fraud", [fraud])
PLACES = {source["name"]: place for place, source in enumerate(compile_plan(PROJECT)["sources"])}

GOOD = {
    "transaction_id": "t1",
    "card_id": "c1",
    "terminal_id": "x1",
    "event_time": 1_600_000_000_000,
    "amount_minor": 1250,
    "currency": "EUR",
    "country": "DE",
    "latitude": 52.5,
    "longitude": 13.25,
    "channel": "chip",
}
"""One transaction that is accepted."""


@pytest.fixture(scope="module")
def operator() -> Iterator[Jvm]:
    jvm = Jvm("DecodeMain")
    jvm.ask([{"op": "plan", "plan": plan_json(PROJECT)}])
    yield jvm
    jvm.close()


def agree(operator: Jvm, source: EventSource, records: Sequence[bytes]) -> None:
    operator_records.agree(operator, PLACES[source.name], source, records)


def json_of(changes: dict[str, Any]) -> bytes:
    return msgspec.json.encode(GOOD | changes)


def with_text(field: str, text: str) -> bytes:
    """The good record with the JSON of one field replaced."""
    parts = [
        f'"{name}":{text if name == field else msgspec.json.encode(value).decode()}'
        for name, value in GOOD.items()
    ]
    return ("{" + ",".join(parts) + "}").encode()


TEXTS = (
    *("null", "true", "false", '""', '"x"', '"EU"', '"EURO"', '"eur"', '"EUR\\n"', "{}", "[]"),
    *("0", "-0", "1", "-1", "5.0", "5e2", "1.5", "-1.5e-7", "1e400", "-1e400", "NaN", "Infinity"),
    *("-Infinity", "01", "+1", ".5", "5.", "0x1", "1_000", "9223372036854775807"),
    *("9223372036854775808", "-9223372036854775808", "-9223372036854775809", "1" + "0" * 400),
    *("1600000000", "1600000000000000", "1600000000000000000", "946684799999", "946684800000"),
    *("4102444799999", "4102444800000", "90", "90.0000001", "-90", "180", "-180.5", "1e2"),
    *("-INF", "+INF", "+Infinity", "-NaN", '"\\ud800"', '"\\udc00\\ud800"', '"\\ud800\\u"'),
    *('"\\u00df"', '"\\ud83d\\ude00"', '"\\u0000"', '"a\\tb"', '"\\/"', "'x'", "undefined"),
    *('[1,[2,{"a":null}]]', '{"a":{"b":[]}}', "2.2250738585072014e-308", "4.9e-324", "0.1"),
    *("123456789012345678901234567890", "0.30000000000000004", "1e23", "9007199254740993"),
)
BROKEN = (
    *(b"", b" ", b"null", b"true", b"5", b'"x"', b"[]", b"[1]", b"{}", b"{", b"}", b"{]", b'{"a"}'),
    *(
        b'{"a":}',
        b'{"a":1,}',
        b'{,"a":1}',
        b"{'a':1}",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"\x00",
        b"{}\x00",
    ),
    json_of({}) + b" ",
    b" \n\t\r" + json_of({}),
    json_of({}) + b"x",
    json_of({}) + b"{}",
    json_of({})[:-1],
    json_of({}).replace(b"chip", b"\xc3\x9f"),
    json_of({}).replace(b"chip", b"\xc3"),
    json_of({}).replace(b"chip", b"\xc0\x80"),
    json_of({}).replace(b"chip", b"\xed\xa0\x80"),
    json_of({}).replace(b"chip", b"\xf0\x9f\x98\x80"),
    json_of({}).replace(b"chip", b"a\nb"),
    json_of({}).replace(b"chip", b"a\\qb"),
    json_of({}).decode().encode("utf-16-le"),
    json_of({}).decode().encode("utf-16"),
    json_of({}).decode().encode("utf-32-be"),
    b'{"extra":[1,{"x":"y"}],' + json_of({})[1:],
    b'{"amount_minor":7,' + json_of({})[1:],
    b'{"amount_minor":"x",' + json_of({})[1:],
    json_of({})[:-1] + b',"amount_minor":9}',
    json_of({})[:-1] + b',"amount_minor":"x"}',
    json_of({})[:-1] + b',"extra":NaN}',
    json_of({})[:-1] + b',"extra":1e999}',
    *(
        json_of({})[:-1] + b"," + text + b"}"
        for text in (
            b'"extra":"\\ud800"',
            b'"extra":"\\udc00x"',
            b'"extra":"\\ud83d\\ude00"',
            b'"extra":"\\\\ud800"',
            b'"extra":["\\ud800\\ud800"]',
            b'"\\ud800":1',
            b'"extra":"\\ud800","amount_minor":"x"',
            b'"extra":-INF,"amount_minor":"x"',
            b'"extra":NaN,"amount_minor":"x"',
            b'"amount_minor":NaN,"amount_minor":9',
            b'"amount_minor":"x","extra":NaN,"amount_minor":9',
            b'"extra":NaN,"amount_minor":"x","amount_minor":9',
            b'"latitude":' + b"9" * 25 + b',"latitude":1.5',
            b'"' + b"n" * 100_000 + b'":1',
        )
    ),
)


def test_every_field_may_hold_what_its_contract_says_and_nothing_else(operator: Jvm) -> None:
    records = [with_text(field, text) for field in GOOD for text in TEXTS]
    agree(operator, fraud.transactions, records)


def test_a_field_that_is_absent_is_null_or_missed(operator: Jvm) -> None:
    records = [
        msgspec.json.encode({name: value for name, value in GOOD.items() if name != absent})
        for absent in GOOD
    ]
    agree(operator, fraud.transactions, records)


def test_what_is_no_record_is_refused_as_the_contract_does(operator: Jvm) -> None:
    agree(operator, fraud.transactions, BROKEN)


def test_labels_have_two_times(operator: Jvm) -> None:
    label = {
        name: GOOD[name] for name in ("transaction_id", "card_id", "terminal_id", "event_time")
    }
    records = [
        msgspec.json.encode(label | {"is_fraud": is_fraud, "reported_at": reported_at})
        for is_fraud in (True, False, None, 1)
        for reported_at in (1_600_600_000_000, 1_600_600_000, None, "x")
    ]
    agree(operator, fraud.labels, records)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(), st.just([])
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=st.dictionaries(st.sampled_from([*GOOD, "other"]), VALUES, max_size=3))
def test_records_with_anything_in_their_fields_fare_as_the_contract_says(
    operator: Jvm, changes: dict[str, Any]
) -> None:
    agree(operator, fraud.transactions, [json_of(changes)])


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damaged_records_fare_as_the_contract_says(operator: Jvm, data: st.DataObject) -> None:
    raw = bytearray(json_of({"channel": "ß"}))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    agree(operator, fraud.transactions, [bytes(raw)])


def asked(line: Line) -> dict[str, Any]:
    row = {name: sent(value) for name, value in line.row.items()}
    return {"op": "evaluate", "node": expression(line.expression.node), "row": row}


def test_every_line_of_the_truth_table_holds_in_the_operator(operator: Jvm) -> None:
    answers = operator.ask(asked(line) for line in LINES)
    for line, answer in zip(LINES, answers, strict=True):
        if line.expected.error is not None:
            assert answer.get("reason") == line.expected.error, line
        else:
            assert bits(read(answer["values"][0])) == bits(line.expected.value), line


COORDINATES = ("a", "b", "c", "d")
DISTANCE = parse(
    "GREAT_CIRCLE_KM(a, b, c, d)", dict.fromkeys(COORDINATES, ColumnType.FLOAT64), "test"
)


@settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    points=st.tuples(
        st.floats(-90, 90), st.floats(-180, 180), st.floats(-90, 90), st.floats(-180, 180)
    )
)
def test_distances_have_the_same_bits(
    operator: Jvm, points: tuple[float, float, float, float]
) -> None:
    row = {name: sent(value) for name, value in zip(COORDINATES, points, strict=True)}
    request = {"op": "evaluate", "node": expression(DISTANCE.node), "row": row}
    (answer,) = operator.ask([request])
    assert bits(read(answer["values"][0])) == bits(great_circle_km(*points))
