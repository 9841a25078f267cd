"""`bench drain`: a backlog through the whole job, in a replay, and in Quix Streams.

Simulated transactions and their labels, in the order in which they become known, lie in Kafka
before anyone begins. One after the other take them in: the project's job, deployed as any job is,
in immediate and in ordered mode, a replay of another version of its view beside that, and the peer,
with as many processes as the job has subtasks. All write their decisions in transactions that are
committed each second.

A bounded job would end by itself, but the sources of this release may fail as they finish while
they keep pace with each other. So the job goes on waiting; some transactions of other cards an hour
after the last, with labels, let the watermark pass what is counted. In ordered mode they stay
undecided.

What is timed: from the moment at which the first three tenths of the decisions are committed, that
is readable for a reader of committed records, to the moment at which the last is. Until then JVMs
compile, and the state is smaller than later. Each transaction has a decision; labels, of which
there are nearly as many, lie between them, and are read and absorbed as they are. Rates are of
decisions, and besides of all events, of which the backlog has a fixed share of transactions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from headrace_features.fraud.definitions import card_activity, labels, transactions
from headrace_features.portable_project import portable_project, project_from
from headrace_orchestration.benchmarks import peer
from headrace_orchestration.benchmarks.committed import Committed, Sample, steady_rate
from headrace_orchestration.benchmarks.embedded import Stage, stage
from headrace_orchestration.benchmarks.outputs import Output, read_output, require_equal
from headrace_orchestration.live_simulation import live_records
from headrace_orchestration.simulation import simulation_config
from headrace_orchestration.versions.replaying import EARLIEST, begin_replay, namespace_of
from headrace_schemas.errors import HeadraceError
from headrace_schemas.events import Transaction, TransactionLabel
from headrace_schemas.topics import DECISIONS, Topic, topic_apart
from headrace_streaming.job import deployment
from headrace_streaming.job.assembly import job_name
from headrace_streaming.job.cluster import Job
from headrace_streaming.job.config import Mode
from headrace_streaming.job.report import reports
from headrace_streaming.kafka.disorder import Sent
from headrace_streaming.kafka.sender import send
from headrace_streaming.kafka.topics import create_topics, topics_of

WARM_SHARE = 0.3
# A little less than what simulated cards do on average.
_CARD_PER_DAY = 1.9
_HOUR_MS = 3_600_000
#: Enough for some in each partition.
CLOSING = 64
#: The version of the view that is replayed.
REPLAYED = 2


@dataclass(frozen=True, slots=True)
class DrainFigures:
    """What was measured; rates are committed decisions per second.

    Attributes:
        transactions: how many were drained; `labels` with them, by `cards`.
        drain_eps: in immediate mode; `ordered_drain_eps` in ordered mode.
        replay_eps: of a replay, which takes history in in ordered mode too; `replay_to_drain` is
            how much that is of the rate before it.
        drain_events_eps: in immediate mode, transactions and labels together: those that had been
            read when the last transaction was decided.
        peer_drain_eps: by Quix Streams; None where it was left out.
        drain_to_peer: the first divided by the last.
        compared: how many decisions were found to have the same features from both.
    """

    transactions: int
    labels: int
    cards: int
    drain_eps: float
    drain_events_eps: float
    ordered_drain_eps: float
    replay_eps: float
    replay_to_drain: float
    peer_drain_eps: float | None
    drain_to_peer: float | None
    compared: int | None


@dataclass(frozen=True, slots=True)
class _Drained:
    """How one contender did."""

    rate: float
    output: Output
    unread: int = 0


def measure(
    home: Path, rows: int, cards: int, advance: Callable[[str], None], *, with_peer: bool
) -> DrainFigures:
    """Drain one backlog by all contenders.

    Args:
        home: the folder for all data.
        rows: how many transactions.
        cards: by how many cards.
        advance: is told what goes on.
        with_peer: whether the peer drains it too.

    Raises:
        HeadraceError: a contender failed, decided twice or not at all, or has other features.
    """
    advance("install the peer")
    python = peer.environment(home) if with_peer else None
    with stage(home, advance) as services:
        advance("send the backlog")
        labels = _send_backlog(services, rows, cards)
        drained = _drain(services, Mode.IMMEDIATE, rows, advance)
        theirs = _drain_by_peer(services, python, rows, advance) if python else None
    # On another broker: what is decided already would not be decided again.
    with stage(home, advance) as services:
        advance("send the backlog")
        _send_backlog(services, rows, cards)
        ordered = _drain(services, Mode.ORDERED, rows, advance)
        replayed = _replay(services, rows, advance)
    return DrainFigures(
        transactions=rows,
        labels=labels,
        cards=cards,
        drain_eps=drained.rate,
        drain_events_eps=drained.rate * (rows + labels - drained.unread) / rows,
        ordered_drain_eps=ordered.rate,
        replay_eps=replayed.rate,
        replay_to_drain=replayed.rate / ordered.rate,
        peer_drain_eps=theirs.rate if theirs else None,
        drain_to_peer=drained.rate / theirs.rate if theirs else None,
        compared=require_equal(drained.output, theirs.output) if theirs else None,
    )


def _send_backlog(services: Stage, rows: int, cards: int) -> int:
    """Put the backlog into Kafka; returns how many labels it has."""
    days = math.ceil(rows / (cards * _CARD_PER_DAY)) + 2
    config = simulation_config(rows=None, cards=cards, days=days, start=None, seed=0)
    last: list[Sent] = []

    def records() -> Iterator[Sent]:
        for record in live_records(replace(config, rows=rows)):
            last[:] = [record]
            yield record
        yield from closing(last[0].at_ms + _HOUR_MS)

    report = send(services.kafka, records())
    return report.records - rows - 2 * CLOSING


def closing(time_ms: int) -> Iterator[Sent]:
    """Transactions and labels of one instant, each of a card and a terminal of its own."""
    for number in range(CLOSING):
        event = Transaction(
            transaction_id=f"closing-{number}",
            card_id=f"closing-{number}",
            terminal_id=f"closing-{number}",
            event_time=time_ms,
            amount_minor=1_000,
        )
        yield Sent(time_ms, transactions.topic, event.card_id, transactions.codec.encode(event))
        fact = TransactionLabel(
            transaction_id=event.transaction_id,
            card_id=event.card_id,
            terminal_id=event.terminal_id,
            event_time=time_ms,
            is_fraud=False,
            reported_at=time_ms,
        )
        yield Sent(time_ms, labels.topic, fact.terminal_id, labels.codec.encode(fact))


def _drain(services: Stage, mode: Mode, rows: int, advance: Callable[[str], None]) -> _Drained:
    committed = Committed(services.kafka, DECISIONS)
    advance(f"deploy, {mode}")
    job = services.deploy(mode=mode)
    decided = rows + CLOSING if mode is Mode.IMMEDIATE else rows
    check = partial(_require_at_work, services, job)
    samples = committed.watch(decided, _shown(advance, mode, rows), check)
    unread = reports(services.settings, services.project)[0].lag or 0
    services.stop()
    drained = _drained(services, DECISIONS, committed.starts, samples, decided)
    return dataclasses.replace(drained, unread=unread)


def _require_at_work(services: Stage, job: Job) -> None:
    failure = services.cluster.failure(job)
    if failure is not None:
        raise HeadraceError(f"the job failed: {failure}")


def _replay(services: Stage, rows: int, advance: Callable[[str], None]) -> _Drained:
    """Take the backlog in once more, as another version of a view, whose decisions stay apart."""
    document = portable_project(services.project)
    document["views"][card_activity.name]["version"] = REPLAYED
    declared = project_from(document)
    made = dataclasses.replace(declared, namespace=namespace_of(card_activity.name, REPLAYED))
    create_topics(services.kafka, topics_of(made, live=False))
    topic = topic_apart(DECISIONS, made.name, made.namespace)
    committed = Committed(services.kafka, topic)
    advance("begin the replay")
    begin_replay(
        services.settings,
        declared,
        card_activity.name,
        REPLAYED,
        services.environ,
        EARLIEST,
        advance,
    )
    job = services.cluster.running(job_name(made.full_name))
    check = partial(_require_at_work, services, job)
    samples = committed.watch(rows, _shown(advance, "the replay", rows), check)
    deployment.stop(services.settings, made)
    return _drained(services, topic, committed.starts, samples, rows)


def _drain_by_peer(
    services: Stage, python: Path, rows: int, advance: Callable[[str], None]
) -> _Drained:
    create_topics(services.kafka, [Topic(peer.OUTPUT, key="dedup key of the event")])
    committed = Committed(services.kafka, peer.OUTPUT)
    with peer.running(python, services.kafka, services.settings.home / "peer") as processes:
        decided = rows + CLOSING
        samples = committed.watch(decided, _shown(advance, "Quix Streams", rows), processes.check)
    return _drained(services, peer.OUTPUT, committed.starts, samples, decided)


def _drained(
    services: Stage, topic: str, starts: Mapping[int, int], samples: Sequence[Sample], decided: int
) -> _Drained:
    output = read_output(services.kafka, topic, starts, _card_features)
    output.require_each_once(decided, topic)
    return _Drained(steady_rate(samples, decided, WARM_SHARE), output)


def _card_features(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The features of the card, from our decisions and from the peer's.

    They depend on the order of a card's transactions alone, which is the same for everyone; those
    of terminals depend on how far each contender has read the labels.
    """
    name = card_activity.name
    if name in record:
        return dict(record[name])
    found = record["features"]
    return {key.removeprefix(f"{name}__"): found[key] for key in found if key.startswith(name)}


def _shown(advance: Callable[[str], None], what: str, rows: int) -> Callable[[int], None]:
    return lambda count: advance(f"{what}: {count:,} of {rows:,} decisions committed")
