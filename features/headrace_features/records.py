"""Records of a source's topic as events: judged in batch as the feature operator judges them."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from headrace_features.definitions.sources import EventSource
from headrace_features.row_rules import RowRules
from headrace_schemas.errors import BadRecordError
from headrace_schemas.event_times import MOST_AHEAD_MS
from headrace_schemas.reasons import Reason


class RecordReader:
    """Reads the records of one source, by the rules of the operator's `RecordDecoder`."""

    def __init__(self, source: EventSource) -> None:
        """Prepare for the records of `source`."""
        self._codec = source.codec
        self._rules = RowRules(source)
        self._known_at = source.available_at or source.event_time
        self._times = attrgetter(source.event_time, self._known_at)

    def read(self, value: bytes | None, sent_at_ms: int) -> Any:
        """The event of a record.

        Args:
            value: the record's bytes; a record without any has none.
            sent_at_ms: the record's timestamp, ms UTC.

        Raises:
            BadRecordError: it can't be read, breaks the contract or a rule, or is of a time that
                lies too far ahead of when it was sent.
        """
        event = self.read_by_contract(value, sent_at_ms)
        self.require_rules(event, sent_at_ms)
        return event

    def read_by_contract(self, value: bytes | None, sent_at_ms: int) -> Any:
        """The same, whatever rules the event breaks."""
        event = self._codec.decode(value or b"")
        self.require_not_ahead(event, sent_at_ms)
        return event

    def require_rules(self, event: Any, sent_at_ms: int) -> None:
        """Refuse an event that breaks a rule which the stream holds events to.

        Raises:
            BadRecordError: it does; the field is the first of these rules.
        """
        broken = self._rules.broken_by(event, sent_at_ms)
        if broken:
            raise BadRecordError(
                Reason.RULE_BROKEN,
                f"{self._codec.schema.__name__} breaks the rule {broken[0]}",
                field=broken[0],
            )

    def known_at_ms(self, event: Any) -> int:
        """When an event could first be known, ms UTC."""
        found: int = getattr(event, self._known_at)
        return found

    def require_not_ahead(self, event: Any, sent_at_ms: int) -> None:
        """Refuse an event that lies too far ahead of when it was, or would be, sent.

        Raises:
            BadRecordError: it does.
        """
        latest = max(self._times(event))
        if latest - sent_at_ms > MOST_AHEAD_MS:
            raise BadRecordError(
                Reason.EVENT_TIME_OUT_OF_RANGE,
                f"{self._codec.schema.__name__} is of {latest}, {latest - sent_at_ms} ms after it"
                f" was sent, expected at most {MOST_AHEAD_MS}",
                field=self._known_at,
            )
