"""The stream job with a history in its state, and what its checkpoints tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from headrace_features.fraud.definitions import card_activity, transactions
from headrace_orchestration.benchmarks.committed import Committed
from headrace_orchestration.benchmarks.embedded import Stage
from headrace_orchestration.benchmarks.traffic import Traffic
from headrace_schemas.errors import RetryableError
from headrace_schemas.topics import DECISIONS
from headrace_streaming.job.cluster import Cluster, Job
from headrace_streaming.job.config import StateBackend
from headrace_streaming.kafka.disorder import Sent
from headrace_streaming.kafka.sender import send

_POLL_S = 0.5
_STALL_S = 180.0


@dataclass(frozen=True, slots=True)
class LoadedJob:
    """A job that has taken in a history.

    Attributes:
        cluster: where it runs.
        job: which it is.
        history: how many transactions it has decided on.
        bytes_per_card: what a checkpoint holds for a card in the stage of the cards; None where
            checkpoints hold changes.
    """

    cluster: Cluster
    job: Job
    history: int
    bytes_per_card: float | None

    def checkpoints(self) -> int:
        """How many were completed so far."""
        return int(self.cluster.checkpoints(self.job)["counts"]["completed"])


def load_history(
    services: Stage,
    traffic: Traffic,
    state_backend: StateBackend,
    advance: Callable[[str], None],
    *,
    changelog: bool,
) -> LoadedJob:
    """Deploy the job and let it take in the history of some traffic.

    Raises:
        RetryableError: nothing is decided any more before the history has ended.
    """
    job = services.deploy(state_backend=state_backend, changelog=changelog)
    counted = _Counted()
    advance("send the history")
    send(services.kafka, map(counted.note, traffic.history()))
    wait_for_decisions(services, counted.transactions, advance)
    (size,) = (
        held
        for step, held in services.cluster.state_bytes(job).items()
        if step.startswith(card_activity.name)
    )
    bytes_per_card = None if changelog else size / traffic.cards
    return LoadedJob(services.cluster, job, counted.transactions, bytes_per_card)


def wait_for_decisions(services: Stage, wanted: int, advance: Callable[[str], None]) -> None:
    """Wait until as many decisions are committed.

    Raises:
        RetryableError: there are no more for three minutes.
    """
    committed = Committed(services.kafka, DECISIONS)
    most, since = -1, time.monotonic()
    while (found := committed.count()) < wanted:
        if found > most:
            most, since = found, time.monotonic()
        elif time.monotonic() - since > _STALL_S:
            raise RetryableError(f"the job stopped at {found} of {wanted} decisions")
        advance(f"{found:,} of {wanted:,} transactions of the history")
        time.sleep(_POLL_S)


class _Counted:
    """Counts the transactions among records that pass."""

    def __init__(self) -> None:
        self.transactions = 0

    def note(self, record: Sent) -> Sent:
        self.transactions += record.topic == transactions.topic
        return record
