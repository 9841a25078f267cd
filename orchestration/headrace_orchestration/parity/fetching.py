"""Reads a recording from Kafka: the topics as they are, cut off where the newest checkpoint was."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_features.decisions import decisions_of
from headrace_features.records import RecordReader
from headrace_orchestration.parity.cutting import settled, since, until
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
    places_of,
    record_places,
)
from headrace_orchestration.parity.runs import (
    added_features,
    beginning,
    newest_run,
    positions_of,
    tells_soon,
)
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.topics import DECISIONS, LATE_EVENTS, topic_apart
from headrace_streaming.kafka.dead_letters import dead_letters
from headrace_streaming.kafka.epochs import deployments
from headrace_streaming.kafka.positions import record_of
from headrace_streaming.kafka.reading import ends, records_now

if TYPE_CHECKING:
    from headrace_features.definitions.decisions import Decisions
    from headrace_features.definitions.sources import EventSource
    from headrace_features.project import Project
    from headrace_streaming.kafka.epochs import Deployed

#: Is told what is being read, and how many records of it so far.
Told = Callable[[str, int], None]

_FOREVER_MS = 1 << 60
_POLL_S = 0.5
#: When a record of a topic was sent.
_SENT = "sent_ms"


def fetch(
    config: Mapping[str, str], project: Project, names: Collection[str], told: Told
) -> Recording:
    """The newest run of a project's job, up to its newest checkpoint.

    A run begins with a deployment without earlier state, or with the state that the lake's events
    make, and goes on through those that were restored from it.

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
    everyone = deployments(config, project.name, project.namespace)
    apart = not all(one.told.live for one in everyone)
    # Before the topics: what they hold then is never less than what these positions led to.
    positions = positions_of(config, project, everyone, sources)
    held = {
        one.source.name: [
            n for n, (first, end) in ends(config, one.source.topic).items() if first < end
        ]
        for one in wanted
    }
    while tells_soon(everyone, positions, held, time.time() * 1_000):
        time.sleep(_POLL_S)
        positions = positions_of(config, project, everyone, sources)
    logs = {name: _source_log(config, source, told) for name, source in sources.items()}
    ledger = _ledger(config, _topics(LATE_EVENTS, project, apart=apart), told)
    dead = _dead_letters(config)
    made = {deployed.epoch for deployed in deployments(config, project.name, None)}
    decided = _decided(config, _topics(DECISIONS, project, apart=apart), wanted, made, told)
    run = newest_run(
        everyone, {*_epochs(decided), *(e for e, told in positions.items() if any(told.values()))}
    )
    whole_from_ms = _whole_from_ms(config, run[0].at_ms)
    newest = run[-1].epoch
    # One that began later and has completed no checkpoint may have told something already.
    later_ms = [one.at_ms for one in everyone if one.epoch > newest]
    span_ms = (run[0].at_ms, min(later_ms, default=run[0].at_ms + _FOREVER_MS))
    recording = Recording(
        sources=logs,
        decisions={name: _of_epochs(log, run) for name, log in decided.items()},
        ledger=_within(ledger, span_ms),
        # A run that decides apart leaves them to the one that it stands beside.
        dead_letters=_within(dead, (0, span_ms[1]) if apart else span_ms),
        modes={},
        lateness_ms={
            one.epoch: one.told.lateness_ms for one in run if one.told.lateness_ms is not None
        },
        begins={
            name: beginning(run[0], log, ends(config, log.source.topic), whole_from_ms)
            for name, log in logs.items()
        },
        added=added_features(run),
        decided_before={name: places_of(_of_others(log, run)) for name, log in decided.items()},
    )
    epochs = _epochs(recording.decisions)
    if not epochs:
        raise ConfigurationError(
            f"the job of the project {project.name} has committed no decisions yet",
            hint="send events, or wait for the next checkpoint: headrace stream status",
        )
    modes = {one.epoch: one.told.mode for one in run if one.epoch in {*epochs, newest}}
    before = positions.get(newest, {})
    again = positions_of(config, project, [run[-1]], sources)[newest]
    recording = since(replace(recording, modes=modes))
    return until(recording, settled(recording, before, again))


def _epochs(decided: Mapping[str, DecisionLog]) -> set[int]:
    return {
        epoch for log in decided.values() for epoch in pc.unique(log.table["epoch"]).to_pylist()
    }


def _topics(name: str, project: Project, *, apart: bool) -> list[str]:
    """Where runs of a namespace tell something: those that decided apart, and others."""
    return [name, *([topic_apart(name, project.name, project.namespace)] if apart else [])]


def _of_others(log: DecisionLog, run: list[Deployed]) -> pa.Table:
    """The decisions that were not made by a run: before it, or beside it."""
    epochs = pa.array([deployed.epoch for deployed in run])
    return log.table.filter(pc.invert(pc.is_in(log.table["epoch"], epochs)))


def _of_epochs(log: DecisionLog, run: list[Deployed]) -> DecisionLog:
    """The decisions of a run.

    Raises:
        ConfigurationError: other definitions have made one of them.
    """
    epochs = pa.array([deployed.epoch for deployed in run])
    table = log.table.filter(pc.is_in(log.table["epoch"], epochs))
    unread = table["unread"].drop_null()
    if len(unread):
        raise ConfigurationError(
            f"{len(unread):,} of the decisions {log.decisions.name} were not made by the present"
            f" definitions: {unread[0]}",
            hint="compare with the definitions that were deployed, or deploy these",
        )
    return DecisionLog(log.decisions, table)


def _whole_from_ms(config: Mapping[str, str], began_ms: int) -> int | None:
    """When those records were sent that are the oldest of which no decision was deleted.

    None if no decision of a run was: it began later than what is the oldest in each partition.
    """
    cut = {number for number, (oldest, _) in ends(config, DECISIONS).items() if oldest}
    if not cut:
        return None
    first_ms: dict[int, int] = {}
    for batch in records_now(config, DECISIONS):
        for message in batch:
            first_ms.setdefault(message.partition() or 0, message.timestamp()[1])
    # Of a partition that has none left nobody knows how long they were there.
    newest_ms = max(first_ms.get(number, _FOREVER_MS) for number in cut)
    return newest_ms if newest_ms > began_ms else None


def _within(table: pa.Table, span_ms: tuple[int, int]) -> pa.Table:
    """The rows that were sent within a time."""
    sent = table[_SENT]
    inside = pc.and_(pc.greater_equal(sent, span_ms[0]), pc.less(sent, span_ms[1]))
    return table.filter(inside).drop_columns([_SENT])


def events_of_topic(config: Mapping[str, str], source: EventSource) -> pa.Table:
    """The events of a source that its topic has, of each dedup key the first that was appended."""
    log = _source_log(config, source, lambda *_: None)
    return log.events.filter(pa.array(log.first))


def _source_log(config: Mapping[str, str], source: EventSource, told: Told) -> SourceLog:
    reader = RecordReader(source)
    tables, bad, count = [], {}, 0
    where: list[tuple[int, int, int]] = []
    for batch in records_now(config, source.topic):
        events = []
        for message in batch:
            partition, offset = record_of(message)
            sent_ms = message.timestamp()[1]
            try:
                event = reader.read(message.value(), sent_ms)
            except BadRecordError as error:
                bad[place_of(partition, offset)] = error.reason
                continue
            events.append(event)
            where.append((partition, offset, sent_ms))
        tables.append(event_table(source, events))
        count += len(batch)
        told(source.topic, count)
    columns = np.array(where, np.int64).reshape(-1, 3)
    return SourceLog(
        source=source,
        events=pa.concat_tables([event_table(source, []), *tables]).combine_chunks(),
        place=record_places(columns[:, 0], columns[:, 1]),
        partition=columns[:, 0].copy(),
        sent_ms=columns[:, 2].copy(),
        bad=bad,
    )


def _ledger(config: Mapping[str, str], topics: Iterable[str], told: Told) -> pa.Table:
    tables, count = [LEDGER_SCHEMA.empty_table()], 0
    sent: list[int] = []
    for batch in chain.from_iterable(records_now(config, topic) for topic in topics):
        tables.append(ledger_table(message.value() or b"" for message in batch))
        sent.extend(message.timestamp()[1] for message in batch)
        count += len(batch)
        told(LATE_EVENTS, count)
    return pa.concat_tables(tables).append_column(_SENT, pa.array(sent, pa.int64()))


def _dead_letters(config: Mapping[str, str]) -> pa.Table:
    letters = list(dead_letters(config))
    rows = [
        {name: getattr(letter, name) for name in DEAD_LETTER_SCHEMA.names} for letter in letters
    ]
    sent = pa.array([letter.told_ms for letter in letters], pa.int64())
    return pa.Table.from_pylist(rows, DEAD_LETTER_SCHEMA).append_column(_SENT, sent)


def _decided(
    config: Mapping[str, str],
    topics: Iterable[str],
    wanted: Collection[Decisions],
    epochs: Collection[int],
    told: Told,
) -> dict[str, DecisionLog]:
    decoders = {one.name: DecisionDecoder(one) for one in wanted}
    tables = {name: [decoder.schema.empty_table()] for name, decoder in decoders.items()}
    count = 0
    for batch in chain.from_iterable(records_now(config, topic) for topic in topics):
        values: dict[str, list[bytes]] = {name: [] for name in decoders}
        for message in batch:
            value = message.value() or b""
            name, epoch = decision_and_epoch(value)
            if name in values and epoch in epochs:
                values[name].append(value)
        for name, some in values.items():
            tables[name].append(decoders[name].table(some))
        count += len(batch)
        told(DECISIONS, count)
    return {one.name: DecisionLog(one, pa.concat_tables(tables[one.name])) for one in wanted}
