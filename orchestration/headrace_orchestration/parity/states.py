"""The state of a view as the topics show it: its events, their order, and who asked when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_features.kernel.prepare import apply_expressions, encode_keys
from headrace_orchestration.parity.accounts import (
    dead_events,
    faults_of_duplicates,
    stopped,
    taken_as_duplicates,
)
from headrace_orchestration.parity.asked import Asked, Status
from headrace_orchestration.parity.excuses import excuses_of
from headrace_orchestration.parity.findings import Fault, Finding
from headrace_orchestration.parity.losses import (
    Loss,
    Numbered,
    lost_events,
    lost_facts,
    lost_unseen,
    places_beside,
)
from headrace_orchestration.parity.recording import places_of
from headrace_orchestration.parity.sequences import (
    NEVER,
    UNKNOWN,
    Sending,
    fact_places,
)
from headrace_streaming.job.config import JobConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headrace_features.definitions.decisions import Decisions
    from headrace_features.definitions.views import FeatureView
    from headrace_features.kernel.arrays import Bools, Ints
    from headrace_orchestration.parity.accounts import Accounts
    from headrace_orchestration.parity.recording import Beginning, Recording, SourceLog

_POSITION = "__position"


@dataclass(frozen=True)
class Absorbed:
    """Events that a view's state has taken in, or that batch counts.

    Attributes:
        table: their columns, derived ones among them.
        entity: of each the code of its entity.
        time_ms: event times.
        available_ms: when each could first be known.
        place: from which number of its state on it is seen; `NEVER` if never.
        batch: which of them batch counts.
        late: which the ledger has as late, refused ones among them.
        refused: why the state has not taken it in, by the ledger; "" where it has no entry.
        ids: dedup keys.
    """

    table: pa.Table
    entity: Ints
    time_ms: Ints
    available_ms: Ints
    place: Ints
    batch: Bools
    late: Bools
    refused: Sequence[str]
    ids: pa.ChunkedArray

    def __len__(self) -> int:
        """How many there are."""
        return len(self.entity)


@dataclass(frozen=True)
class ViewState:
    """A view as it was kept for one declaration of decisions.

    Attributes:
        decisions: the declaration.
        view: the view.
        own: whether the decided events are the view's events as well.
        ordered: whether events waited for the watermark.
        asked: who asked.
        events: what there was.
        entities: above all codes of entities.
        findings: what is wrong with the numbers.
        excuses: of features that not every decision can have the value of, by decision the number
            of the reason why it doesn't; 0 where it can.
        lost: the decisions of which the state had events that are not there.
        newest_ms: no event of the run became known later.
    """

    decisions: Decisions
    view: FeatureView
    own: bool
    ordered: bool
    asked: Asked
    events: Absorbed
    entities: int
    findings: tuple[Finding, ...]
    excuses: Mapping[str, Ints]
    lost: Bools
    newest_ms: int

    @property
    def label(self) -> str:
        """How people name it."""
        return f"{self.decisions.name}: {self.view.name}"


def state_of(
    recording: Recording, accounts: Accounts, decisions: Decisions, view: FeatureView
) -> ViewState:
    """The state of a view, put together from what the topics tell."""
    log = recording.sources[view.source.name]
    driver = recording.sources[decisions.source.name]
    own = view.source.name == decisions.source.name
    join_key = view.entity.join_key
    first_key = decisions.views[0].entity.join_key if own else join_key
    left_out = taken_as_duplicates(recording, decisions, log, first_key)
    begin = recording.begin(log.source.name)
    findings: list[Finding] = []
    if begin.whole:
        # Else the one that was taken may be among those that are not there.
        findings.extend(faults_of_duplicates(decisions.name, log, left_out, log.events[first_key]))
    gone = stopped(recording, decisions, view, log)
    wanted = ~left_out
    if own:
        # Of the decided source those with a decision, or that should have one or came near it.
        wanted[:] = False
        dead = dead_events(recording, log)
        for some in (accounts.record, accounts.undecided, accounts.before, dead):
            wanted[some] = True
    wanted |= log.first
    wanted[gone] = False
    position, table = _inputs(view, log, np.flatnonzero(wanted))
    row_key = driver.events[join_key].take(pa.array(accounts.record)).cast(pa.string())
    event_key = table[join_key].cast(pa.string())
    codes = encode_keys(pa.chunked_array([*event_key.chunks, *row_key.chunks], pa.string()))
    entity = codes[: len(table)]
    asked = Asked(
        entity=codes[len(table) :],
        key=row_key,
        time_ms=driver.time_ms[accounts.record],
        sequence=accounts.log[f"sequence.{view.name}"].to_numpy(),
        status=_statuses(accounts.log[f"status.{view.name}"]),
        ids=accounts.log["id"],
        usable=np.ones(len(row_key), np.bool_),
        lateness_ms=_latenesses(recording, accounts.log),
    )
    entities = int(codes.max(initial=-1)) + 1
    sequence = np.full(len(log.place), UNKNOWN, np.int64)
    if own:
        sequence[accounts.record] = asked.sequence
    refused, late = _refusals(recording, decisions, view, log, sequence, own=own)
    taken = ~left_out[position] & ~_flagged(refused, position)
    refused |= dict.fromkeys(np.flatnonzero(left_out).tolist(), "duplicate")
    some = position[taken]
    events = Numbered(entity[taken], log.available_ms[some], sequence[some], log.partition[some])
    loss = _loss(begin, events, asked, entities, own=own, ordered=recording.ordered)
    place = np.full(len(position), NEVER, np.int64)
    where = f"{decisions.name}: {view.name}"
    if own:
        told = places_beside(events, loss, ordered=recording.ordered)
        place[taken] = told.place
        ids = log.ids.take(pa.array(some))
        for code, (what, members) in told.broken.items():
            asked.usable[asked.entity == code] = False
            names = ", ".join(str(ids[member].as_py()) for member in members)
            key = event_key[int(np.flatnonzero(entity == code)[0])].as_py()
            findings.append(Finding(Fault.SEQUENCE, where, names, f"{join_key} {key}: {what}"))
    else:
        place[taken] = loss.count[entity[taken]] + fact_places(
            entity[taken],
            log.available_ms[some],
            Sending(log.sent_ms[some], log.partition[some], log.place[some]),
            ordered=recording.ordered,
        )
    most = loss.most(np.bincount(entity[taken], minlength=entities))
    findings.extend(_beyond(asked, most, where, join_key))
    return ViewState(
        decisions=decisions,
        view=view,
        own=own,
        ordered=recording.ordered,
        asked=asked,
        events=Absorbed(
            table=table,
            entity=entity,
            time_ms=log.time_ms[position],
            available_ms=log.available_ms[position],
            place=place,
            batch=log.first[position],
            late=late[position],
            refused=[refused.get(one, "") for one in position.tolist()] if refused else [],
            ids=log.ids.take(pa.array(position)),
        ),
        entities=entities,
        findings=tuple(findings),
        excuses=excuses_of(recording, view, accounts.log, asked, loss),
        lost=loss.some[asked.entity],
        newest_ms=max(
            int(source.available_ms.max(initial=-NEVER)) for source in recording.sources.values()
        ),
    )


def _loss(  # noqa: PLR0913 - what there is, and how it was taken in
    begin: Beginning, events: Numbered, asked: Asked, entities: int, *, own: bool, ordered: bool
) -> Loss:
    """Which numbers of a state belong to events that the recording does not have."""
    if begin.whole:
        return Loss.none(entities)
    if own:
        loss = lost_events(events, entities, ordered=ordered)
        return lost_unseen(loss, events, asked.entity, asked.sequence)
    counts = np.bincount(events.entity, minlength=entities)
    return lost_facts(counts, asked.entity, asked.sequence, later=begin.deleted)


def _beyond(asked: Asked, most: Ints, where: str, join_key: str) -> Iterator[Finding]:
    """Decisions that tell more events than there are; they are not usable."""
    beyond = asked.usable & ((asked.sequence > most[asked.entity]) | (asked.sequence < 0))
    for row in np.flatnonzero(beyond).tolist():
        key, told = asked.key[row].as_py(), asked.sequence[row]
        message = f"{join_key} {key}: {told} is told, of {most[asked.entity[row]]} events"
        yield Finding(Fault.SEQUENCE, where, str(asked.ids[row].as_py()), message)
    asked.usable[beyond] = False


def _inputs(view: FeatureView, log: SourceLog, position: Ints) -> tuple[Ints, pa.Table]:
    """Those of some events that pass a view's filter: their positions, and their columns."""
    events = log.events.select(list(view.input_columns)).take(pa.array(position))
    passed = apply_expressions(view, events.append_column(_POSITION, pa.array(position)))
    position = passed[_POSITION].to_numpy()
    return position, passed.drop_columns([_POSITION]).combine_chunks()


def _refusals(  # noqa: PLR0913 - where the entries are and what they are held to
    recording: Recording,
    decisions: Decisions,
    view: FeatureView,
    log: SourceLog,
    sequence: Ints,
    *,
    own: bool,
) -> tuple[dict[int, str], Bools]:
    """By position the events that a view has refused and why; and which are late or refused."""
    entries = recording.ledgered(
        log.source.name, decisions.name, ["too_old", "state_full", "late"], view=view.name
    )
    late = np.zeros(len(log.place), np.bool_)
    refused: dict[int, str] = {}
    found = log.find(places_of(entries))
    for position, reason, number in zip(
        found.tolist(),
        entries["reason"].to_pylist(),
        entries["sequence"].to_pylist(),
        strict=True,
    ):
        if position < 0:
            continue
        late[position] = True
        # An entry of an attempt that was taken back, in which another event came first, tells
        # another number than the decision.
        if reason != "late" and (not own or sequence[position] == number):
            refused[position] = reason
    return refused, late


def _flagged(refused: dict[int, str], position: Ints) -> Bools:
    return np.isin(position, np.array(sorted(refused), np.int64))


def _latenesses(recording: Recording, table: pa.Table) -> Ints:
    """By decision, the lateness of the deployment that made it."""
    epochs = table["epoch"].to_numpy()
    result = np.full(len(epochs), JobConfig(kafka={}).lateness_ms)
    for epoch, lateness_ms in recording.lateness_ms.items():
        result[epochs == epoch] = lateness_ms
    return result


def _statuses(told: pa.ChunkedArray) -> Ints:
    names = pa.array([status.name.lower() for status in Status])
    codes: Ints = pc.fill_null(pc.index_in(told, value_set=names), -1).to_numpy().astype(np.int64)
    return codes
