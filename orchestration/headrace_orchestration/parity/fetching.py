"""Reads a recording from Kafka.

The positions that the job's group has told come first: they are those of one checkpoint, a
consistent cut. All that was read before them has its outcome in the topics that are read after,
and what was read later is left aside, whatever it may already have led to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_features.decisions import decisions_of
from headrace_orchestration.parity.decoding import (
    DecisionDecoder,
    decision_and_epoch,
    event_table,
    ledger_table,
)
from headrace_orchestration.parity.recording import (
    DEAD_LETTER_SCHEMA,
    LEDGER_SCHEMA,
    DecisionLog,
    Recording,
    SourceLog,
    place_of,
    record_places,
)
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.reasons import Reason
from headrace_schemas.topics import DECISIONS, LATE_EVENTS
from headrace_streaming.job.assembly import job_name
from headrace_streaming.job.config import JobConfig
from headrace_streaming.kafka.dead_letters import dead_letters
from headrace_streaming.kafka.epochs import Deployed, deployments
from headrace_streaming.kafka.reading import reached, record_of, records_now

if TYPE_CHECKING:
    from headrace_features.definitions.decisions import Decisions
    from headrace_features.definitions.sources import EventSource
    from headrace_features.kernel.arrays import Bools, Ints
    from headrace_features.project import Project

#: Is told what is being read, and how many records of it so far.
Told = Callable[[str, int], None]

_FOREVER_MS = 1 << 60

_Positions = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at the topics: how far the newest deployment has come, source by source."""

    config: Mapping[str, str]
    positions: Mapping[str, _Positions]
    told: Told


def fetch(
    config: Mapping[str, str], project: Project, names: Collection[str], told: Told
) -> Recording:
    """The newest run of a project's job, up to its newest checkpoint.

    A run begins with a deployment without earlier state and goes on through those that were
    restored from it.

    Args:
        config: of Kafka's clients.
        project: whose job it is.
        names: the views that matter; only decisions with one of them are read.
        told: is told what is being read.

    Raises:
        ConfigurationError: nothing was deployed or decided yet, or by other definitions.
        RetryableError: the broker doesn't answer.
    """
    wanted = [
        one for one in decisions_of(project) if {view.name for view in one.views} & set(names)
    ]
    sources: dict[str, EventSource] = {}
    for one in wanted:
        for source in (one.source, *(view.source for view in one.views)):
            sources[source.name] = source
    everyone = deployments(config, project.name)
    newest, positions = _newest(config, project, everyone, sources)
    known = [deployed for deployed in everyone if deployed.epoch <= newest.epoch]
    look = _Look(config, positions, told)
    logs = {name: _source_log(look, source) for name, source in sources.items()}
    ledger, ledger_ms = _ledger(look)
    dead, dead_ms = _dead_letters(look, sources)
    decided = _decided(look, wanted, {deployed.epoch for deployed in known})
    epochs = {
        epoch for log in decided.values() for epoch in pc.unique(log.table["epoch"]).to_pylist()
    }
    if not epochs:
        raise ConfigurationError(
            f"the job of the project {project.name} has committed no decisions yet",
            hint="send events, or wait for the next checkpoint: headrace stream status",
        )
    run = _run(known, epochs)
    # A later one that has completed no checkpoint may have told something already.
    later_ms = [one.at_ms for one in everyone if one.epoch > newest.epoch]
    span_ms = (run[0].at_ms, min(later_ms, default=run[0].at_ms + _FOREVER_MS))
    return Recording(
        sources=logs,
        decisions={name: _of_epochs(log, run) for name, log in decided.items()},
        ledger=ledger.filter(_within(ledger_ms, span_ms)),
        dead_letters=dead.filter(_within(dead_ms, span_ms)),
        modes={one.epoch: one.told.mode for one in run if one.epoch in epochs or one is run[-1]},
    )


def _within(times_ms: Ints, span_ms: tuple[int, int]) -> pa.Array:
    return pa.array((times_ms >= span_ms[0]) & (times_ms < span_ms[1]))


def _newest(
    config: Mapping[str, str],
    project: Project,
    known: list[Deployed],
    sources: Mapping[str, EventSource],
) -> tuple[Deployed, dict[str, _Positions]]:
    """The newest deployment that has told positions, and these by source."""
    for deployed in reversed(known):
        group = f"{job_name(project.name)}-{deployed.epoch}"
        positions: dict[str, _Positions] = {
            name: reached(config, group, source.topic) for name, source in sources.items()
        }
        if any(positions.values()):
            return deployed, positions
    raise ConfigurationError(
        f"no job of the project {project.name} has completed a checkpoint on this broker",
        hint="headrace stream deploy",
    )


def _run(known: list[Deployed], epochs: Collection[int]) -> list[Deployed]:
    """The deployments from the newest one on that began anew and has decided something."""
    start = 0
    for place, deployed in enumerate(known):
        if deployed.told.restored_from is None and deployed.epoch in epochs:
            start = place
    return known[start:]


def _of_epochs(log: DecisionLog, run: list[Deployed]) -> DecisionLog:
    epochs = pa.array([deployed.epoch for deployed in run])
    return DecisionLog(log.decisions, log.table.filter(pc.is_in(log.table["epoch"], epochs)))


def _source_log(look: _Look, source: EventSource) -> SourceLog:
    positions = look.positions[source.name]
    codec = source.codec
    most_ahead_ms = JobConfig(kafka={}).most_ahead_ms
    time_of, known_of = source.event_time, source.available_at or source.event_time
    tables, bad, count = [], {}, 0
    where: list[tuple[int, int, int]] = []
    for batch in records_now(look.config, source.topic):
        events = []
        for message in batch:
            partition, offset = record_of(message)
            if offset >= positions.get(partition, 0):
                continue
            sent_ms = message.timestamp()[1]
            try:
                event = codec.decode(message.value() or b"")
            except BadRecordError as error:
                bad[place_of(partition, offset)] = error.reason
                continue
            if max(getattr(event, time_of), getattr(event, known_of)) - sent_ms > most_ahead_ms:
                bad[place_of(partition, offset)] = Reason.EVENT_TIME_OUT_OF_RANGE
                continue
            events.append(event)
            where.append((partition, offset, sent_ms))
        tables.append(event_table(source, events))
        count += len(batch)
        look.told(source.topic, count)
    columns = np.array(where, np.int64).reshape(-1, 3)
    return SourceLog(
        source=source,
        events=pa.concat_tables([event_table(source, []), *tables]).combine_chunks(),
        place=record_places(columns[:, 0], columns[:, 1]),
        partition=columns[:, 0].copy(),
        sent_ms=columns[:, 2].copy(),
        bad=bad,
    )


def _ledger(look: _Look) -> tuple[pa.Table, Ints]:
    tables, count = [LEDGER_SCHEMA.empty_table()], 0
    sent: list[int] = []
    for batch in records_now(look.config, LATE_EVENTS):
        tables.append(ledger_table(message.value() or b"" for message in batch))
        sent.extend(message.timestamp()[1] for message in batch)
        count += len(batch)
        look.told(LATE_EVENTS, count)
    table, sent_ms = pa.concat_tables(tables), np.array(sent, np.int64)
    inside = np.zeros(len(table), np.bool_)
    for name, positions in look.positions.items():
        of_source = pc.equal(table["source"], name).to_numpy()
        inside |= of_source & _before(table, positions)
    return table.filter(pa.array(inside)), sent_ms[inside]


def _dead_letters(look: _Look, sources: Mapping[str, EventSource]) -> tuple[pa.Table, Ints]:
    positions = {source.topic: look.positions[name] for name, source in sources.items()}
    letters = [
        letter
        for letter in dead_letters(look.config)
        if letter.offset < positions.get(letter.topic, {}).get(letter.partition, 0)
    ]
    rows = [
        {name: getattr(letter, name) for name in DEAD_LETTER_SCHEMA.names} for letter in letters
    ]
    sent_ms = np.array([letter.told_ms for letter in letters], np.int64)
    return pa.Table.from_pylist(rows, DEAD_LETTER_SCHEMA), sent_ms


def _decided(
    look: _Look, wanted: Collection[Decisions], epochs: Collection[int]
) -> dict[str, DecisionLog]:
    decoders = {one.name: DecisionDecoder(one) for one in wanted}
    tables = {name: [decoder.schema.empty_table()] for name, decoder in decoders.items()}
    count = 0
    for batch in records_now(look.config, DECISIONS):
        values: dict[str, list[bytes]] = {name: [] for name in decoders}
        for message in batch:
            value = message.value() or b""
            name, epoch = decision_and_epoch(value)
            if name in values and epoch in epochs:
                values[name].append(value)
        for name, some in values.items():
            tables[name].append(decoders[name].table(some))
        count += len(batch)
        look.told(DECISIONS, count)
    logs = {}
    for one in wanted:
        table = pa.concat_tables(tables[one.name])
        inside = _before(table, look.positions[one.source.name])
        logs[one.name] = DecisionLog(one, table.filter(pa.array(inside)).combine_chunks())
    return logs


def _before(table: pa.Table, positions: _Positions) -> Bools:
    """Which rows name a record that was read before some positions."""
    ends = np.zeros(max(positions, default=0) + 1, np.int64)
    ends[list(positions)] = list(positions.values())
    partition = table["partition"].to_numpy()
    # A partition that was never told of has not been read; a decision may still name one.
    known = partition < len(ends)
    inside: Bools = table["offset"].to_numpy() < ends[np.where(known, partition, 0)]
    inside &= known
    return inside
