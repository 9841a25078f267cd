"""Whether rows that were kept aside are events by now: by their contract and by their rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.references import known_values
from headrace_features.definitions.row_rules import TimelyRule
from headrace_features.records import RecordReader
from headrace_features.row_rules import RowRules
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
        return [self._judged(row, now_ms, frozenset(ignore)) for row in rows]

    def events(self, judged: Iterable[Judged]) -> pa.Table:
        """The events of rows that are some, in the columns of the contract."""
        rows = [msgspec.structs.asdict(one.event) for one in judged]
        return pa.Table.from_pylist(rows, self._schema)

    def _judged(self, row: KeptRow, now_ms: int, ignore: frozenset[str]) -> Judged:
        if row.event is None:
            said = "it can't be told what its columns are"
            return Judged(row, None, b"", {str(Reason.UNDECODABLE): said})
        value = msgspec.json.encode(row.event)
        try:
            event = self._reader.read_by_contract(value, now_ms)
        except BadRecordError as error:
            return Judged(row, None, b"", {str(error.reason): error.message})
        broken = self._broken(row, event)
        problems = {name: f"breaks the rule {name}" for name in broken if name not in ignore}
        return Judged(
            row,
            event,
            self._source.codec.encode(event),
            problems,
            ignored=tuple(one for one in broken if one in ignore),
            goes_by_topic=row.is_of_topic and not self._breaks(event, now_ms),
        )

    def _broken(self, row: KeptRow, event: Any) -> list[str]:
        """The rules that an event breaks. One that came too late stays so."""
        late = [name for name in row.reasons if name in self._timely]
        return [*self._rules.broken_rows(self._table(event), None), *late]

    def _breaks(self, event: Any, arrived_ms: int) -> bool:
        """Whether an event that arrives at a time breaks any rule."""
        return bool(self._rules.broken_rows(self._table(event), arrived_ms))

    def _table(self, event: Any) -> pa.Table:
        return pa.Table.from_pylist([msgspec.structs.asdict(event)], self._schema)
