"""Whether rows that were kept aside are events by now: by their contract and by their rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.references import known_values
from headrace_features.definitions.row_rules import TimelyRule
from headrace_features.records import RecordReader
from headrace_features.row_rules import Bools, RowRules
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason

if TYPE_CHECKING:
    from headrace_batch.quarantine.kept_rows import KeptRow
    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.sources import EventSource


@dataclass(frozen=True, slots=True)
class Judged:
    """A row, the event that it is, and why it can't be taken in as that.

    Attributes:
        event: None where it is none by its contract.
        value: the event's bytes, b"" of none.
        problems: codes with what they say; none where it can be taken in.
        ignored: the rules that it breaks and that are to be ignored.
        goes_by_topic: whether it would be taken in if its topic had it again now.
    """

    row: KeptRow
    event: Any
    value: bytes
    problems: Mapping[str, str]
    ignored: tuple[str, ...] = ()
    goes_by_topic: bool = False


class RowJudge:
    """Judges rows of one source as they would be if they came now."""

    def __init__(
        self, warehouse: Warehouse, source: EventSource, sources: Mapping[str, EventSource]
    ) -> None:
        """Prepare for rows of `source`; `sources` has those that its rules refer to.

        Raises:
            ConfigurationError: one of these has no table.
        """
        self._source = source
        self._schema = contract_of(source).schema
        self._reader = RecordReader(source)
        self._rules = RowRules(source, known_values(warehouse, source, sources))
        self._timely = {rule.name for rule in source.rules if isinstance(rule, TimelyRule)}

    def judge(
        self, rows: Iterable[KeptRow], now_ms: int, ignore: Collection[str] = ()
    ) -> list[Judged]:
        """What each row is.

        Args:
            rows: as they were kept, or repaired.
            now_ms: ms UTC; no event lies further ahead of it than one may be when it is sent.
            ignore: names of rules that they may break.
        """
        read = [self._read(row, now_ms) for row in rows]
        events = [one for one in read if not one.problems]
        table = self.events(events)
        broken = self._rules.broken_rows(table, None)
        by_now = self._rules.broken_rows(table, now_ms)
        held = (
            self._held(one, _at(broken, place), frozenset(ignore), is_fit=not _at(by_now, place))
            for place, one in enumerate(events)
        )
        return [one if one.problems else next(held) for one in read]

    def events(self, judged: Iterable[Judged]) -> pa.Table:
        """The events of rows that are some, in the columns of the contract."""
        rows = [msgspec.structs.asdict(one.event) for one in judged]
        return pa.Table.from_pylist(rows, self._schema)

    def _read(self, row: KeptRow, now_ms: int) -> Judged:
        """A row by its contract alone."""
        if row.event is None:
            said = "it can't be told what its columns are"
            return Judged(row, None, b"", {str(Reason.UNDECODABLE): said})
        try:
            event = self._reader.read_by_contract(msgspec.json.encode(row.event), now_ms)
        except BadRecordError as error:
            return Judged(row, None, b"", {str(error.reason): error.message})
        return Judged(row, event, self._source.codec.encode(event), {})

    def _held(
        self, one: Judged, broken: list[str], ignore: frozenset[str], *, is_fit: bool
    ) -> Judged:
        """An event by the rules that it breaks. One that came too late stays so."""
        broken += [name for name in one.row.reasons if name in self._timely]
        return replace(
            one,
            problems={name: f"breaks the rule {name}" for name in broken if name not in ignore},
            ignored=tuple(name for name in broken if name in ignore),
            goes_by_topic=one.row.is_of_topic and is_fit,
        )


def _at(broken: Mapping[str, Bools], place: int) -> list[str]:
    """The rules that the event in a place breaks."""
    return [name for name, rows in broken.items() if rows[place]]
