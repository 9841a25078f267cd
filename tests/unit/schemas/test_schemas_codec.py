"""The codec: what goes in comes out, and what is refused is refused for the right reason."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_schemas.codec import Codec
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.event_times import PLAUSIBLE, TimeRange
from headrace_schemas.events import Event, Transaction, TransactionLabel
from headrace_schemas.reasons import Reason
from headrace_schemas.record_checks import first_problem


class Visit(Event, frozen=True, kw_only=True):
    """A schema of a user's own, without the annotations of the built-in ones."""

    visit_id: str
    at: int
    seconds: Annotated[int, msgspec.Meta(ge=0)] | None = None
    reported: int | None = None


TRANSACTIONS = Codec(Transaction)
GOOD: dict[str, Any] = {
    "transaction_id": "t1",
    "card_id": "c1",
    "terminal_id": "p1",
    "event_time": 1_700_000_000_000,
    "amount_minor": 1_250,
    "currency": "EUR",
    "country": "DE",
    "latitude": 52.5,
    "longitude": 13.25,
    "channel": "chip",
}

int64 = st.integers(-(2**63), 2**63 - 1)
times = st.integers(PLAUSIBLE.earliest_ms, PLAUSIBLE.latest_ms - 1)
texts = st.text(st.characters(codec="utf-8"))
transactions = st.builds(
    Transaction,
    transaction_id=texts.filter(bool),
    card_id=texts.filter(bool),
    terminal_id=texts.filter(bool),
    event_time=times,
    amount_minor=int64,
    currency=st.none() | st.from_regex("[A-Z]{3}", fullmatch=True),
    country=st.none() | st.from_regex("[A-Z]{2}", fullmatch=True),
    latitude=st.none() | st.floats(-90, 90),
    longitude=st.none() | st.floats(-180, 180),
    channel=st.none() | texts,
)
# Values that are wrong for some column, or just at an edge of one.
odd_values = st.sampled_from(
    [
        None, True, False, 0, -1, 90, 91, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30, 10**400,
        1_700_000_000, 1_700_000_000_000, 1_700_000_000_000_000, 1.0, 0.5, -90.0, -90.5, 1e300,
        "", "EUR", "EUR\n", "DE", "de", "DE\n", "é", [], [1], {}, {"a": None},
    ]
)  # fmt: skip


def refusal(raw: bytes, codec: Codec[Any] = TRANSACTIONS) -> BadRecordError:
    with pytest.raises(BadRecordError) as caught:
        codec.decode(raw)
    return caught.value


def changed(**fields: object) -> bytes:
    return json.dumps(GOOD | fields).encode()


@given(transactions)
def test_a_transaction_survives_the_round_trip(event: Transaction) -> None:
    assert TRANSACTIONS.decode(TRANSACTIONS.encode(event)) == event


@given(
    st.builds(
        TransactionLabel,
        transaction_id=texts.filter(bool),
        card_id=texts.filter(bool),
        terminal_id=texts.filter(bool),
        event_time=times,
        is_fraud=st.booleans(),
        reported_at=times,
    )
)
def test_a_label_survives_the_round_trip(event: TransactionLabel) -> None:
    codec = Codec(TransactionLabel)
    assert codec.decode(codec.encode(event)) == event


def test_an_event_is_written_in_the_order_of_declaration_always_the_same() -> None:
    event = msgspec.convert(GOOD, Transaction)
    assert TRANSACTIONS.encode(event) == (
        b'{"transaction_id":"t1","card_id":"c1","terminal_id":"p1",'
        b'"event_time":1700000000000,"amount_minor":1250,"currency":"EUR","country":"DE",'
        b'"latitude":52.5,"longitude":13.25,"channel":"chip"}'
    )


def test_fields_that_a_source_lacks_are_null() -> None:
    required = ("transaction_id", "card_id", "terminal_id", "event_time", "amount_minor")
    event = TRANSACTIONS.decode(json.dumps({name: GOOD[name] for name in required}).encode())
    assert (event.currency, event.country, event.latitude, event.longitude, event.channel) == (
        (None,) * 5
    )


def test_an_unknown_field_is_ignored_so_that_writers_may_be_newer() -> None:
    assert TRANSACTIONS.decode(changed(added={"later": [1]})) == TRANSACTIONS.decode(changed())


@pytest.mark.parametrize(
    ("raw", "reason", "field"),
    [
        (b"", Reason.UNDECODABLE, None),
        (b"{", Reason.UNDECODABLE, None),
        (b"[1]", Reason.UNDECODABLE, None),
        (b"null", Reason.UNDECODABLE, None),
        (b"\xff\xfe", Reason.UNDECODABLE, None),
        (b"[" * 100_000, Reason.UNDECODABLE, None),
        (changed() + b"{}", Reason.UNDECODABLE, None),
        (changed().decode().encode("utf-16"), Reason.UNDECODABLE, None),
        (changed(channel="lone \ud800"), Reason.UNDECODABLE, None),
        (changed(channel="x").replace(b'"x"', b'"\xff"'), Reason.UNDECODABLE, None),
        (b"{}", Reason.MISSING_FIELD, "transaction_id"),
        (changed().replace(b"amount_minor", b"amount"), Reason.MISSING_FIELD, "amount_minor"),
        (changed(card_id=None), Reason.NULL_KEY, "card_id"),
        (changed(terminal_id=""), Reason.NULL_KEY, "terminal_id"),
        (changed(amount_minor=None), Reason.NULL_VALUE, "amount_minor"),
        (changed(event_time=None), Reason.NULL_VALUE, "event_time"),
        (changed(card_id=7), Reason.WRONG_TYPE, "card_id"),
        (changed(amount_minor="12.50"), Reason.WRONG_TYPE, "amount_minor"),
        (changed(amount_minor=12.5), Reason.WRONG_TYPE, "amount_minor"),
        (changed(amount_minor=12.0), Reason.WRONG_TYPE, "amount_minor"),
        (changed(amount_minor=True), Reason.WRONG_TYPE, "amount_minor"),
        (changed(latitude=False), Reason.WRONG_TYPE, "latitude"),
        (changed(latitude={"degrees": 1}), Reason.WRONG_TYPE, "latitude"),
        (changed(event_time="2024-05-17T12:00:00Z"), Reason.WRONG_TYPE, "event_time"),
        (changed(amount_minor=2**63), Reason.INTEGER_OVERFLOW, "amount_minor"),
        (changed(amount_minor=-(2**63) - 1), Reason.INTEGER_OVERFLOW, "amount_minor"),
        (changed(event_time=2**64), Reason.INTEGER_OVERFLOW, "event_time"),
        (changed(latitude=math.nan), Reason.NOT_FINITE, "latitude"),
        (changed(longitude=-math.inf), Reason.NOT_FINITE, "longitude"),
        (changed().replace(b"52.5", b"1e400"), Reason.NOT_FINITE, "latitude"),
        (changed(latitude=90.5), Reason.OUT_OF_RANGE, "latitude"),
        (changed(longitude=-181), Reason.OUT_OF_RANGE, "longitude"),
        (changed(currency="euro"), Reason.BAD_FORMAT, "currency"),
        (changed(currency="eur"), Reason.BAD_FORMAT, "currency"),
        (changed(country="DE\n"), Reason.BAD_FORMAT, "country"),
        (changed(country=""), Reason.BAD_FORMAT, "country"),
        (changed(event_time=1_700_000_000), Reason.EVENT_TIME_WRONG_UNIT, "event_time"),
        (changed(event_time=1_700_000_000_000_000), Reason.EVENT_TIME_WRONG_UNIT, "event_time"),
        (changed(event_time=1_700_000_000 * 10**9), Reason.EVENT_TIME_WRONG_UNIT, "event_time"),
        (changed(event_time=-1), Reason.EVENT_TIME_OUT_OF_RANGE, "event_time"),
        (changed(event_time=5_000_000_000_000), Reason.EVENT_TIME_OUT_OF_RANGE, "event_time"),
    ],
)
def test_a_bad_record_is_refused_with_its_reason_and_field(
    raw: bytes, reason: Reason, field: str | None
) -> None:
    error = refusal(raw)
    assert (error.reason, error.field) == (reason, field)
    assert str(error).startswith(f"Transaction.{field} " if field else "Transaction ")


def test_an_integer_of_thousands_of_digits_is_an_overflow_like_any_other() -> None:
    digits = b"9" * 5_000
    error = refusal(changed(amount_minor=7).replace(b": 7,", b": " + digits + b","))
    assert error.reason is Reason.INTEGER_OVERFLOW
    error = refusal(changed(latitude=7).replace(b": 7,", b": " + digits + b","))
    assert error.reason is Reason.NOT_FINITE


def test_messages_say_what_was_found_and_what_was_expected() -> None:
    assert str(refusal(changed(amount_minor="12.50"))) == (
        "Transaction.amount_minor is '12.50', expected a 64-bit integer"
    )
    assert str(refusal(changed(event_time="2018-04-01T00:00:00"))) == (
        "Transaction.event_time is '2018-04-01T00:00:00',"
        " expected an integer, milliseconds since 1970-01-01 UTC"
    )
    assert str(refusal(changed(event_time=1_700_000_000))) == (
        "Transaction.event_time is no plausible time: 1700000000 looks like seconds,"
        " expected milliseconds since 1970-01-01 UTC"
    )
    assert (
        str(refusal(changed(latitude=91))) == "Transaction.latitude is 91.0, expected at most 90.0"
    )
    assert str(refusal(changed(card_id=None))) == (
        "Transaction.card_id is null, expected an identifier"
    )


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(str(refusal(changed(currency="E" * 10_000)))) < 200


def test_a_field_given_twice_is_refused_if_either_value_is_wrong() -> None:
    raw = changed().replace(b'"amount_minor": 1250', b'"amount_minor": "x", "amount_minor": 1250')
    assert refusal(raw).reason is Reason.WRONG_TYPE


@given(st.dictionaries(st.sampled_from(list(GOOD)), odd_values, max_size=3), st.data())
def test_the_decoder_accepts_just_what_the_record_checks_accept(
    fields: dict[str, object], data: st.DataObject
) -> None:
    record = GOOD | fields
    for name in data.draw(st.sets(st.sampled_from(list(GOOD)), max_size=2)):
        del record[name]
    problem = first_problem(record, TRANSACTIONS.columns, owner="Transaction")
    raw = json.dumps(record).encode()
    if problem is None:
        assert TRANSACTIONS.decode(raw) == msgspec.convert(record, Transaction)
    else:
        error = refusal(raw)
        assert (error.reason, str(error)) == (problem.reason, str(problem))


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_an_event_or_a_bad_record_and_nothing_else(raw: bytes) -> None:
    assert refusal(raw).reason in (Reason.UNDECODABLE, Reason.MISSING_FIELD)


@given(
    st.builds(
        Transaction,
        transaction_id=st.text(st.characters(), max_size=2),
        card_id=st.just("c"),
        terminal_id=st.just("p"),
        event_time=st.just(1_700_000_000_000) | st.integers(),
        amount_minor=st.integers(),
        currency=st.none() | st.text(max_size=4),
        latitude=st.none() | st.floats(),
        channel=st.none() | st.text(st.characters(), max_size=2),
    )
)
def test_nothing_is_written_that_would_be_refused_or_read_differently(event: Transaction) -> None:
    try:
        raw = TRANSACTIONS.encode(event)
    except BadRecordError:
        return
    assert TRANSACTIONS.decode(raw) == event


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"latitude": math.nan}, Reason.NOT_FINITE),
        ({"amount_minor": 2**63}, Reason.INTEGER_OVERFLOW),
        ({"card_id": ""}, Reason.NULL_KEY),
        ({"card_id": "\ud800"}, Reason.BAD_FORMAT),
        ({"event_time": 1_700_000_000}, Reason.EVENT_TIME_WRONG_UNIT),
    ],
)
def test_a_bad_event_is_not_written(change: dict[str, Any], reason: Reason) -> None:
    event = msgspec.structs.replace(msgspec.convert(GOOD, Transaction), **change)
    with pytest.raises(BadRecordError) as caught:
        TRANSACTIONS.encode(event)
    assert caught.value.reason is reason


def test_an_event_of_another_schema_is_not_written() -> None:
    with pytest.raises(TypeError, match="expected Transaction, found Visit"):
        TRANSACTIONS.encode(Visit(visit_id="v", at=0))  # type: ignore[arg-type]  # the point


def test_the_keys_and_times_of_a_plain_schema_are_named_by_the_caller() -> None:
    codec = Codec(Visit, keys=["visit_id"], times=["at", "reported"])
    good = b'{"visit_id":"v","at":1700000000000,"seconds":3}'
    assert codec.decode(good) == Visit(visit_id="v", at=1_700_000_000_000, seconds=3)
    assert refusal(good.replace(b'"v"', b"null"), codec).reason is Reason.NULL_KEY
    assert refusal(good.replace(b'"v"', b'""'), codec).reason is Reason.NULL_KEY
    assert refusal(good.replace(b"0" * 11, b""), codec).reason is Reason.EVENT_TIME_OUT_OF_RANGE
    assert refusal(good.replace(b"seconds", b"reported"), codec).field == "reported"
    assert Codec(Visit).decode(b'{"visit_id":"","at":3}') == Visit(visit_id="", at=3)


def test_a_column_named_as_key_must_not_be_null_even_if_the_schema_allows_it() -> None:
    codec = Codec(Visit, keys=["visit_id", "seconds"])
    error = refusal(b'{"visit_id":"v","at":1,"seconds":null}', codec)
    assert (error.reason, error.field) == (Reason.NULL_KEY, "seconds")


def test_a_key_or_time_that_is_no_fitting_column_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown key column of Visit 'visitid', did you"):
        Codec(Visit, keys=["visitid"])
    with pytest.raises(ConfigurationError, match="unknown time column of Visit 'when'"):
        Codec(Visit, times=["when"])
    with pytest.raises(ConfigurationError, match=r"Visit\.visit_id is string, but named as a time"):
        Codec(Visit, times=["visit_id"])


def test_the_plausible_range_can_be_set() -> None:
    codec = Codec(Transaction, plausible=TimeRange(earliest_ms=0, latest_ms=1_000))
    assert codec.decode(changed(event_time=999)).event_time == 999
    assert refusal(changed(), codec).reason is Reason.EVENT_TIME_OUT_OF_RANGE
