"""The operator holds records to bounds, lengths and patterns of any contract as the codec does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Meta

from headrace_features import Count, Entity, EventSource, FeatureView, Unbounded
from headrace_features.project import Project
from headrace_features.stream_plan.plan import plan_json
from headrace_schemas.events import Event
from histories import LATE, PROMPT, SENSOR
from operator_jvm import Jvm
from operator_records import agree


class Order(Event, frozen=True, kw_only=True):
    """A contract with columns of every kind of demand."""

    order_id: str
    placed_at: int
    size: float | None = None
    weight: float | None = None
    count: Annotated[int, Meta(ge=-5, le=2**62)] | None = None
    places: Annotated[int, Meta(ge=0)] | None = None
    share: Annotated[float, Meta(ge=0, le=1e22)] | None = None
    gift: bool | None = None
    code: Annotated[str, Meta(min_length=2, max_length=3)] | None = None
    word: Annotated[str, Meta(pattern=r"^\w+$")] | None = None
    no_word: Annotated[str, Meta(pattern=r"^\W*\Z")] | None = None
    spaced: Annotated[str, Meta(pattern=r"\s[\S]")] | None = None
    edged: Annotated[str, Meta(pattern=r"\bab\b|a\B")] | None = None
    letters: Annotated[str, Meta(pattern=r"^[^\W\d_]+$")] | None = None
    twin: Annotated[str, Meta(pattern=r"(?P<one_of>a|b)(?:\1|\v)")] | None = None
    brackets: Annotated[str, Meta(pattern=r"^[]a&\b-]+$")] | None = None
    dotted: Annotated[str, Meta(pattern="a.b")] | None = None


ORDERS = EventSource("orders", Order, event_time="placed_at", dedup_key="order_id")
SOURCES = (LATE, ORDERS, PROMPT)
PROJECT = Project(
    "contracts",
    entities={},
    sources={},
    views={
        source.name: FeatureView(
            name=source.name,
            version=1,
            entity=entity,
            source=source,
            aggregates=[Count(windows=(Unbounded(),))],
        )
        for source, entity in (
            (LATE, SENSOR),
            (ORDERS, Entity("order", join_key="order_id")),
            (PROMPT, SENSOR),
        )
    },
    services={},
    decisions={},
)
PLACES = {one["name"]: place for place, one in enumerate(json.loads(plan_json(PROJECT))["sources"])}


@pytest.fixture(scope="module")
def operator() -> Iterator[Jvm]:
    jvm = Jvm("DecodeMain")
    jvm.ask([{"op": "plan", "plan": plan_json(PROJECT)}])
    yield jvm
    jvm.close()


def record(fields: list[tuple[str, str]]) -> bytes:
    return ("{" + ",".join(f'"{name}":{value}' for name, value in fields) + "}").encode()


NUMBERS = (
    *("0", "-0", "5", "-6", "2.5", "-1e-9", "1E5", "1e22", "1.0000000000000002e22", "1e400"),
    *("4611686018427387904", "4611686018427387905", "99999999999999999", "999999999999999999"),
    *("1000000000000000000", "-1000000000000000000", "9223372036854775807", "9223372036854775808"),
    *("-9223372036854775808", "-9223372036854775809", "18446744073709551616", "1" + "0" * 309),
    *("100000000000000000000", "1600000000", "1600000000000", "1600000000000000000", "NaN"),
)
LETTERS = (
    *("a", "b", "_", "A", "1", "²", "½", "ß", "\N{COMBINING ACUTE ACCENT}", "\N{UNDERTIE}"),
    *("\n", "\t", " ", "\x0b", "\x1c", "\x85", "\xa0", "\u2028", "\u200d", "😀", "𐐀", "ⅷ", "٣"),
    *("&", "[", "]", "^", "-", ".", "\\", "\b", "'", '"', "ab"),
)
TEXTS = st.lists(st.sampled_from(LETTERS), max_size=5).map(lambda some: json.dumps("".join(some)))
VALUES = st.one_of(
    TEXTS, st.sampled_from(NUMBERS), st.sampled_from(["null", "true", "[1]", "{}", '""', '"long"'])
)
GOOD: Mapping[str, dict[str, str]] = {
    ORDERS.name: {"order_id": '"o"', "placed_at": "1600000000000"},
    PROMPT.name: {
        "reading_id": '"r"',
        "sensor": '"s"',
        "event_time": "1600000000000",
        "known_at": "1600000000000",
    },
}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.name))
@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_values_in_any_fields_fare_as_the_codec_says(
    source: EventSource, operator: Jvm, data: st.DataObject
) -> None:
    names = source.schema.__struct_fields__
    good = GOOD.get(source.name, GOOD[PROMPT.name])
    more = data.draw(st.lists(st.tuples(st.sampled_from(names), VALUES), max_size=4))
    fields = [(name, value) for name, value in good.items() if name not in dict(more)]
    raw = record(data.draw(st.permutations([*fields, *more])))
    agree(operator, PLACES[source.name], source, [raw])


def test_patterns_find_what_they_find_in_python(operator: Jvm) -> None:
    patterned = ("word", "no_word", "spaced", "edged", "letters", "twin", "brackets", "dotted")
    texts = [*LETTERS, *(one + two for one in LETTERS for two in LETTERS), "a\nb", "𐐀ab", "a\x0b"]
    records = [
        record([*GOOD[ORDERS.name].items(), (name, json.dumps(text))])
        for name in patterned
        for text in texts
    ]
    agree(operator, PLACES[ORDERS.name], ORDERS, records)


@pytest.mark.parametrize("huge", ["100000000000000000000", "9" * 400, "-" + "9" * 25])
def test_a_double_after_a_huge_integer_is_itself(operator: Jvm, huge: str) -> None:
    fields: list[Any] = [*GOOD[ORDERS.name].items(), ("size", huge), ("weight", "2.5")]
    agree(operator, PLACES[ORDERS.name], ORDERS, [record(fields)])
