"""Why a record is refused: one code per cause, the same in stream, batch and dead letters."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Reason(StrEnum):
    """A stable code, stored next to the refused record; `meaning` says it in words."""

    UNDECODABLE = "undecodable"
    MISSING_FIELD = "missing_field"
    NULL_KEY = "null_key"
    NULL_VALUE = "null_value"
    WRONG_TYPE = "wrong_type"
    INTEGER_OVERFLOW = "integer_overflow"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    BAD_FORMAT = "bad_format"
    EVENT_TIME_WRONG_UNIT = "event_time_wrong_unit"
    EVENT_TIME_OUT_OF_RANGE = "event_time_out_of_range"
    RULE_BROKEN = "rule_broken"
    SET_ASIDE = "set_aside"
    DUPLICATE = "duplicate"
    TOO_LARGE = "too_large"
    OPERATOR_FAILED = "operator_failed"

    @property
    def meaning(self) -> str:
        """One line for people: what a record with this code looks like."""
        return _MEANINGS[self]


_MEANINGS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.UNDECODABLE: "the bytes are no record: an object of JSON in UTF-8, or a row of CSV",
        Reason.MISSING_FIELD: "a required field is absent",
        Reason.NULL_KEY: "an identifier is null or empty",
        Reason.NULL_VALUE: "a required field that is no identifier is null",
        Reason.WRONG_TYPE: "a value has another type than its column",
        Reason.INTEGER_OVERFLOW: "an integer does not fit into 64 bits",
        Reason.NOT_FINITE: "a number is NaN or infinite",
        Reason.OUT_OF_RANGE: "a number is below the minimum or above the maximum of its column",
        Reason.BAD_FORMAT: "a text has a length or a form that its column does not allow",
        Reason.EVENT_TIME_WRONG_UNIT: "a time is not in milliseconds but in another unit",
        Reason.EVENT_TIME_OUT_OF_RANGE: "a time lies in the future, or is implausible in any unit",
        Reason.RULE_BROKEN: "an event breaks a rule that its source is declared with",
        Reason.SET_ASIDE: "a person has taken the row out of its table, with its whole day",
        Reason.DUPLICATE: "an earlier record has the same dedup key",
        Reason.TOO_LARGE: "a record has more bytes than the stream takes",
        Reason.OPERATOR_FAILED: "the stream's operator itself fails on the record",
    }
)
