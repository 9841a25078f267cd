"""A recording: what a run of the stream job was given, and everything that it told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_features.kernel.prepare import encode_keys
from headrace_schemas.reasons import Reason

if TYPE_CHECKING:
    from headrace_features.definitions.decisions import Decisions
    from headrace_features.definitions.sources import EventSource
    from headrace_features.kernel.arrays import Bools, Ints

#: Offsets are below it: a partition and an offset make one integer.
_OFFSETS = 1 << 44

LEDGER_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("decision", pa.string()),
        ("join_key", pa.string()),
        ("view", pa.string()),
        ("id", pa.string()),
        ("reason", pa.string()),
        ("sequence", pa.int64()),
        ("partition", pa.int64()),
        ("offset", pa.int64()),
    ]
)
DEAD_LETTER_SCHEMA = pa.schema(
    [
        ("topic", pa.string()),
        ("reason", pa.string()),
        ("partition", pa.int64()),
        ("offset", pa.int64()),
    ]
)


def places_of(table: pa.Table) -> Ints:
    """For each row of a table the record that it names, as one integer."""
    return record_places(table["partition"].to_numpy(), table["offset"].to_numpy())


def record_places(partition: Ints, offset: Ints) -> Ints:
    """Records by partition and offset, as one integer each."""
    return np.asarray(partition * _OFFSETS + offset, np.int64)


def place_of(partition: int, offset: int) -> int:
    """One record by partition and offset, as one integer."""
    return partition * _OFFSETS + offset


def split_places(place: Ints) -> tuple[Ints, Ints]:
    """Partitions and offsets of records."""
    partition, offset = np.divmod(place, _OFFSETS)
    return partition, offset


def spelled_place(place: int) -> str:
    """Partition and offset as people read them."""
    return "/".join(map(str, divmod(place, _OFFSETS)))


@dataclass(frozen=True)
class SourceLog:
    """The records of a source's topic that the run has read.

    Attributes:
        source: the source.
        events: those that keep to the contract, in no particular order.
        place: of each of them partition and offset, see `record_places`.
        partition: of each of them the partition.
        sent_ms: when each was sent or appended, ms UTC.
        bad: the places of the other records, with the reason against each.
    """

    source: EventSource
    events: pa.Table
    place: Ints
    partition: Ints
    sent_ms: Ints
    bad: Mapping[int, Reason]

    @property
    def time_ms(self) -> Ints:
        """Event times."""
        times: Ints = self.events[self.source.event_time].to_numpy()
        return times

    @property
    def available_ms(self) -> Ints:
        """When each event could first be known."""
        name = self.source.available_at or self.source.event_time
        times: Ints = self.events[name].to_numpy()
        return times

    @property
    def ids(self) -> pa.ChunkedArray:
        """Dedup keys."""
        return self.events[self.source.dedup_key]

    @cached_property
    def first(self) -> Bools:
        """Which events batch counts: of each dedup key the first that was appended."""
        codes = encode_keys(self.ids)
        order = np.lexsort((self.place, self.sent_ms, codes))
        sorted_codes = codes[order]
        winner = np.ones(len(order), np.bool_)
        winner[1:] = sorted_codes[1:] != sorted_codes[:-1]
        first = np.zeros(len(order), np.bool_)
        first[order[winner]] = True
        return first

    def find(self, place: Ints) -> Ints:
        """The positions of the events of some records, -1 where there is none."""
        if not len(self.place):
            return np.full(len(place), -1, np.int64)
        at = np.searchsorted(self._sorted, place)
        at[at == len(self._sorted)] = 0
        return np.where(self._sorted[at] == place, self._order[at], -1)

    @cached_property
    def _order(self) -> Ints:
        return np.argsort(self.place)

    @cached_property
    def _sorted(self) -> Ints:
        return self.place[self._order]


@dataclass(frozen=True)
class DecisionLog:
    """The committed decisions of one declaration.

    Attributes:
        decisions: the declaration.
        table: a row for each: `id`, `epoch`, `partition`, `offset`, `flagged`, `rules`, each
            column of the event as `event.NAME`, each feature as `VIEW__FEATURE`, and of each view
            `sequence.VIEW` and `status.VIEW`; `lacking` names the features that the record does
            not have, since they were declared later.
    """

    decisions: Decisions
    table: pa.Table


@dataclass(frozen=True)
class Beginning:
    """From where on a source's topic tells what the states of a run were made of.

    Attributes:
        first: by partition, the offset that the run began with.
        told: by partition, the offset from which on there are all records and all that was told
            of them; what came before was deleted.
        history: whether the states were made of other events before the first.
    """

    first: Mapping[int, int] = field(default_factory=dict)
    told: Mapping[int, int] = field(default_factory=dict)
    history: bool = False

    @property
    def offsets(self) -> dict[int, int]:
        """By partition the offset that the recording begins with."""
        partitions = {*self.first, *self.told}
        return {one: max(self.first.get(one, 0), self.told.get(one, 0)) for one in partitions}

    @property
    def deleted(self) -> bool:
        """Whether the run was given records that are there no more."""
        return any(told > self.first.get(partition, 0) for partition, told in self.told.items())

    @property
    def whole(self) -> bool:
        """Whether the recording has everything that the states were made of."""
        return not self.history and not self.deleted


@dataclass(frozen=True)
class Recording:
    """What one run of the job was given and what it told.

    Attributes:
        sources: by name, what it has read.
        decisions: by name, what it has decided.
        ledger: the entries of `late-events`, see `LEDGER_SCHEMA`.
        dead_letters: the entries of `dead-letters`, see `DEAD_LETTER_SCHEMA`.
        modes: by epoch, when events were absorbed.
        lateness_ms: by epoch, how late an event may have been and count in full.
        begins: by source, from where on all is there; whatever isn't named is there as a whole.
        added: the features, named as in decisions, that were not declared all the time.
        decided_before: by declaration, the records that former runs have decided.
        gone: by declaration, how many decisions are left out since their records were deleted.
    """

    sources: Mapping[str, SourceLog]
    decisions: Mapping[str, DecisionLog]
    ledger: pa.Table
    dead_letters: pa.Table
    modes: Mapping[int, str]
    lateness_ms: Mapping[int, int] = field(default_factory=dict)
    begins: Mapping[str, Beginning] = field(default_factory=dict)
    added: frozenset[str] = frozenset()
    decided_before: Mapping[str, Ints] = field(default_factory=dict)
    gone: Mapping[str, int] = field(default_factory=dict)

    def begin(self, source: str) -> Beginning:
        """From where on all of a source is there."""
        return self.begins.get(source, Beginning())

    @property
    def ordered(self) -> bool:
        """Whether every part of the run was in ordered mode."""
        return set(self.modes.values()) == {"ordered"}

    def ledgered(self, source: str, decision: str, reasons: list[str], **where: str) -> pa.Table:
        """The entries about a source in a decision, with one of some reasons."""
        ledger = self.ledger
        keep = pc.and_(
            pc.and_(pc.equal(ledger["source"], source), pc.equal(ledger["decision"], decision)),
            pc.is_in(ledger["reason"], pa.array(reasons)),
        )
        for column, value in where.items():
            keep = pc.and_(keep, pc.fill_null(pc.equal(ledger[column], value), False))  # noqa: FBT003 - a value
        return ledger.filter(keep)

    def dead_places(self, topic: str) -> Ints:
        """The records of a topic that are among the dead letters."""
        return places_of(self.dead_letters.filter(pc.equal(self.dead_letters["topic"], topic)))
