"""Events of several sources as records for Kafka, in the order in which they become known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa

from headrace_features.definitions.sources import EventSource
from headrace_features.kernel.arrays import Ints
from headrace_streaming.kafka.disorder import Sent

#: Records that are made at once.
_BATCH = 1 << 15


@dataclass(frozen=True, slots=True)
class EventRecords:
    """What some sources have for their topics.

    Attributes:
        events: by source, its events with the columns of its contract.
        keys: by topic, the column that its records are keyed by.
    """

    events: Sequence[tuple[EventSource, pa.Table]]
    keys: Mapping[str, str]

    def __len__(self) -> int:
        """How many records there are."""
        return sum(len(table) for _, table in self.events)

    def __iter__(self) -> Iterator[Sent]:
        """The records; of one instant first those that only then become known."""
        known = [table[_known(source)].to_numpy() for source, table in self.events]
        place = np.concatenate([np.arange(len(times)) for times in known])
        prompt = [int(source.available_at is None) for source, _ in self.events]
        sizes = [len(times) for times in known]
        of_source = np.repeat(np.arange(len(known)), sizes)
        at_ms = np.concatenate(known)
        order = np.lexsort((of_source, np.repeat(prompt, sizes), at_ms))
        for start in range(0, len(order), _BATCH):
            some = order[start : start + _BATCH]
            yield from self._records(of_source[some], place[some], at_ms[some])

    def _records(self, of_source: Ints, place: Ints, at_ms: Ints) -> Iterator[Sent]:
        rows = [
            iter(table.take(pa.array(place[of_source == number])).to_pylist())
            for number, (_, table) in enumerate(self.events)
        ]
        topics = [source.topic for source, _ in self.events]
        keys = [self.keys[topic] for topic in topics]
        encode = msgspec.json.Encoder().encode
        for number, time_ms in zip(of_source.tolist(), at_ms.tolist(), strict=True):
            row = next(rows[number])
            yield Sent(time_ms, topics[number], str(row[keys[number]]), encode(row))


def _known(source: EventSource) -> str:
    return source.available_at or source.event_time
