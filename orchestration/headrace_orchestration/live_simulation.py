"""Simulated transactions as a stream of records: labels come when they would be known."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

from headrace_batch.simulator import SimulationConfig, simulate_batches
from headrace_features.fraud.definitions import labels, transactions
from headrace_streaming.kafka.disorder import Sent

_BATCH_ROWS = 20_000


def live_records(config: SimulationConfig) -> Iterator[Sent]:
    """Transactions and labels in the order in which they become known.

    Labels that would become known after the last transaction are left out.
    """
    known_later: list[tuple[int, int, Sent]] = []
    numbers = count()
    transaction_codec, label_codec = transactions.codec, labels.codec
    for batch in simulate_batches(config, batch_rows=_BATCH_ROWS):
        pairs = zip(batch.transactions.to_pylist(), batch.labels.to_pylist(), strict=True)
        for transaction, label in pairs:
            at_ms: int = transaction["event_time"]
            while known_later and known_later[0][0] <= at_ms:
                yield heapq.heappop(known_later)[2]
            event = transaction_codec.encode(transactions.schema(**transaction))
            yield Sent(at_ms, transactions.topic, transaction["card_id"], event)
            fact = label_codec.encode(labels.schema(**label))
            known_ms: int = label["reported_at"]
            sent = Sent(known_ms, labels.topic, label["terminal_id"], fact)
            heapq.heappush(known_later, (known_ms, next(numbers), sent))
