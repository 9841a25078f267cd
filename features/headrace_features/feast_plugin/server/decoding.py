"""What Feast's server takes a request to say, so that what is judged is what it would do."""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

_Said = TypeVar("_Said", bound=msgspec.Struct)


def decoded(body: bytes, wanted: msgspec.json.Decoder[_Said]) -> _Said | None:
    """The fields of a request that are wanted; None where it is no JSON, which Feast refuses.

    Raises:
        ValidationError: one of them, or the request itself, is of a type that Feast refuses.
    """
    try:
        return wanted.decode(body)
    except (msgspec.DecodeError, RecursionError):
        # Python's own module, by which Feast decodes, takes more: NaN, numbers beyond any double,
        # halves of characters, UTF-16. Of fields that come twice it knows the last alone.
        return _as_feast_does(body, wanted)


def _as_feast_does(body: bytes, wanted: msgspec.json.Decoder[_Said]) -> _Said | None:
    try:
        return msgspec.convert(json.loads(body), wanted.type)
    except msgspec.ValidationError:
        raise
    except RecursionError as error:
        # Feast's stack is deeper than this one, where there is no room already.
        raise msgspec.ValidationError("it is nested too deeply") from error
    except ValueError:
        return None
