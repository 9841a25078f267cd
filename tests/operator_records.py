"""Records as the operator decodes them, held against the codec of the contracts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from headrace_features.definitions.sources import EventSource
from headrace_schemas.codec import Codec
from headrace_schemas.errors import BadRecordError
from histories import bits
from operator_jvm import Jvm, read


def agree(operator: Jvm, place: int, source: EventSource, records: Sequence[bytes]) -> None:
    """Require that both accept the same values and refuse for the same reasons.

    They also say the same, but where JSON can't be read: parsers put that in words of their own.
    """
    answers = operator.ask(
        {"op": "decode", "source": place, "raw": base64.b64encode(raw).decode()} for raw in records
    )
    codec = source.codec
    for raw, answer in zip(records, answers, strict=True):
        expected = _expected(codec, raw)
        if isinstance(expected, BadRecordError):
            assert answer.get("reason") == expected.reason, raw
            assert expected.field is None or answer["message"] == str(expected), raw
        else:
            assert "reason" not in answer, (raw, answer)
            assert [bits(read(value)) for value in answer["values"]] == expected, raw


def _expected(codec: Codec[Any], raw: bytes) -> list[object] | BadRecordError:
    try:
        event = codec.decode(raw)
    except BadRecordError as error:
        return error
    return [bits(getattr(event, column.name)) for column in codec.columns]
