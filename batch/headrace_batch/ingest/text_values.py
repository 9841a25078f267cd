"""Numbers, truth values and times out of text, row by row, as a CSV file holds them.

All functions take valid UTF-8 and give values of the wanted type with a mask of the rows that
could not be read, which are null. Surrounding white space is ignored; empty text means null.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bools = npt.NDArray[np.bool_]

_SHORT_INTEGER = "^[+-]?[0-9]{1,18}$"
_INTEGER = "^[+-]?[0-9]+$"
_FLOAT = r"(?i)^[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|nan|inf|infinity)$"
_DATE = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
_NAIVE_TIME = f"^{_DATE}([T ]{_CLOCK})?$"
_ZONED_TIME = f"^{_DATE}[T ]{_CLOCK}(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$"
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Parsed:
    """Values, and where a text stands for none: `wrong`, or an integer that `overflows`."""

    values: pa.Array
    wrong: Bools
    overflows: Bools


def integers(text: pa.Array) -> Parsed:
    """Decimal integers of 64 bits."""
    # Arrow also reads hexadecimal digits, which nothing else here would take.
    if pc.all(pc.ascii_is_decimal(text)).as_py() is not False:
        try:
            return _clean(text.cast(pa.int64()))
        except pa.ArrowInvalid:
            pass
    text = _trimmed(text)
    short = _matches(text, _SHORT_INTEGER)
    values = np.zeros(len(text), np.int64)
    valid = short.copy()
    values[short] = _unsigned_plus(text.filter(pa.array(short))).cast(pa.int64()).to_numpy()
    overflows = np.zeros(len(text), np.bool_)
    for position in np.flatnonzero(_matches(text, _INTEGER) & ~short):
        digits = text[int(position)].as_py()
        try:
            values[position] = pa.scalar(digits.lstrip("+")).cast(pa.int64()).as_py()
            valid[position] = True
        except pa.ArrowInvalid:
            overflows[position] = True
    wrong = ~valid & ~overflows & ~_null(text)
    return Parsed(pa.array(values, mask=~valid), wrong, overflows)


def floats(text: pa.Array) -> Parsed:
    """Decimal numbers with an optional exponent; nan and inf are read, and refused later."""
    try:
        return _clean(text.cast(pa.float64()))
    except pa.ArrowInvalid:
        text = _trimmed(text)
        return _filled(text, _matches(text, _FLOAT), lambda some: some.cast(pa.float64()))


def bools(text: pa.Array) -> Parsed:
    """True, false, 1 and 0, in any case."""
    text = _trimmed(text)
    place = pc.index_in(pc.utf8_lower(text), value_set=pa.array(_TRUTH))
    values = pa.array(_TRUTH.values()).take(place)
    return _parsed(values, _null(values) & ~_null(text))


def times_ms(text: pa.Array) -> Parsed:
    """Milliseconds since 1970-01-01 UTC out of integers or ISO 8601; without a zone it is UTC.

    Digits beyond milliseconds are cut off.
    """
    parsed = integers(text)
    if not parsed.wrong.any():
        return parsed
    text = _trimmed(text)
    values = parsed.values.fill_null(0).to_numpy().copy()
    valid = ~_null(parsed.values)
    for pattern, kind in (
        (_NAIVE_TIME, pa.timestamp("ms")),
        (_ZONED_TIME, pa.timestamp("ms", "UTC")),
    ):
        shaped = parsed.wrong & _matches(text, pattern)
        some = pc.replace_substring_regex(
            text.filter(pa.array(shaped)), r"(\.[0-9]{3})[0-9]+", r"\1"
        )
        times = _cast_where_possible(some, kind).cast(pa.int64())
        values[shaped] = times.fill_null(0).to_numpy()
        valid[shaped] = ~_null(times)
    return Parsed(pa.array(values, mask=~valid), parsed.wrong & ~valid, parsed.overflows)


def _clean(values: pa.Array) -> Parsed:
    return _parsed(values, np.zeros(len(values), np.bool_))


def _parsed(values: pa.Array, wrong: Bools) -> Parsed:
    return Parsed(values, wrong, np.zeros(len(values), np.bool_))


def _filled(text: pa.Array, good: Bools, read: Callable[[pa.Array], pa.Array]) -> Parsed:
    """What `read` makes of the good rows, null elsewhere."""
    values = np.zeros(len(text), np.float64)
    values[good] = read(text.filter(pa.array(good))).to_numpy()
    return _parsed(pa.array(values, mask=~good), ~good & ~_null(text))


def _cast_where_possible(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """The times that texts of the right shape stand for; null where there is none, as 30 February.

    Halves what can't be read as a whole, which is fast as long as that is rare.
    """
    try:
        return text.cast(kind)
    except pa.ArrowInvalid:
        if len(text) == 1:
            return pa.nulls(1, kind)
        half = len(text) // 2
        parts = [_cast_where_possible(part, kind) for part in (text[:half], text[half:])]
        return pa.concat_arrays(parts)


def _trimmed(text: pa.Array) -> pa.Array:
    """The text without white space around it, null where nothing is left."""
    trimmed = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _unsigned_plus(text: pa.Array) -> pa.Array:
    return pc.utf8_ltrim(text, "+")


def _matches(text: pa.Array, pattern: str) -> Bools:
    found = pc.match_substring_regex(text, pattern).fill_null(fill_value=False)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)


def _null(values: pa.Array) -> Bools:
    return np.asarray(pc.is_null(values).to_numpy(zero_copy_only=False), np.bool_)
