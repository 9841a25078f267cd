"""The state of a view as the topics show it: its events, their order, and who asked when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
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
from headrace_orchestration.parity.findings import Fault, Finding
from headrace_orchestration.parity.recording import places_of
from headrace_orchestration.parity.sequences import (
    NEVER,
    UNKNOWN,
    Sending,
    fact_places,
    told_places,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace_features.definitions.decisions import Decisions
    from headrace_features.definitions.views import FeatureView
    from headrace_features.kernel.arrays import Bools, Ints
    from headrace_orchestration.parity.accounts import Accounts
    from headrace_orchestration.parity.recording import Recording, SourceLog

_POSITION = "__position"


class Status(IntEnum):
    """What a decision says of a view's features."""

    COMPLETE = 0
    LATE = 1
    OVERFLOW = 2


@dataclass(frozen=True)
class Asked:
    """The decisions that asked a view.

    Attributes:
        entity: of each the code of the entity.
        key: of each the entity's key, as text.
        time_ms: as of when.
        sequence: how many events the state had taken in.
        status: what it says of the features.
        ids: the dedup keys of the decided events.
        usable: which belong to an entity whose numbers are in order.
    """

    entity: Ints
    key: pa.ChunkedArray
    time_ms: Ints
    sequence: Ints
    status: Ints
    ids: pa.ChunkedArray
    usable: Bools

    def __len__(self) -> int:
        """How many there are."""
        return len(self.entity)


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
    """

    decisions: Decisions
    view: FeatureView
    own: bool
    ordered: bool
    asked: Asked
    events: Absorbed
    entities: int
    findings: tuple[Finding, ...]

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
    findings = list(faults_of_duplicates(decisions.name, log, left_out, log.events[first_key]))
    gone = stopped(recording, decisions, view, log)
    wanted = ~left_out
    if own:
        # Of the decided source those with a decision, or that should have one or came near it.
        wanted[:] = False
        for some in (accounts.record, accounts.undecided, dead_events(recording, log)):
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
    )
    sequence = np.full(len(log.place), UNKNOWN, np.int64)
    if own:
        sequence[accounts.record] = asked.sequence
    refused, late = _refusals(recording, decisions, view, log, sequence, own=own)
    taken = ~left_out[position] & ~_flagged(refused, position)
    refused |= dict.fromkeys(np.flatnonzero(left_out).tolist(), "duplicate")
    place = np.full(len(position), NEVER, np.int64)
    available_ms = log.available_ms[position]
    some = position[taken]
    if own:
        told = told_places(
            entity[taken], available_ms[taken], sequence[some], ordered=recording.ordered
        )
        place[taken] = told.place
        ids = log.ids.take(pa.array(some))
        for code, (what, members) in told.broken.items():
            asked.usable[asked.entity == code] = False
            names = ", ".join(str(ids[member].as_py()) for member in members)
            key = event_key[int(np.flatnonzero(entity == code)[0])].as_py()
            message = f"{join_key} {key}: {what}"
            findings.append(
                Finding(Fault.SEQUENCE, f"{decisions.name}: {view.name}", names, message)
            )
    else:
        place[taken] = fact_places(
            entity[taken],
            available_ms[taken],
            Sending(log.sent_ms[some], log.partition[some], log.place[some]),
            ordered=recording.ordered,
        )
    entities = int(codes.max(initial=-1)) + 1
    counts = np.bincount(entity[taken], minlength=entities)
    beyond = asked.usable & ((asked.sequence > counts[asked.entity]) | (asked.sequence < 0))
    for row in np.flatnonzero(beyond).tolist():
        told_number, most = asked.sequence[row], counts[asked.entity[row]]
        message = f"{join_key} {row_key[row].as_py()}: {told_number} is told, of {most} events"
        event = str(asked.ids[row].as_py())
        findings.append(Finding(Fault.SEQUENCE, f"{decisions.name}: {view.name}", event, message))
    asked.usable[beyond] = False
    events = Absorbed(
        table=table,
        entity=entity,
        time_ms=log.time_ms[position],
        available_ms=available_ms,
        place=place,
        batch=log.first[position],
        late=late[position],
        refused=[refused.get(one, "") for one in position.tolist()] if refused else [],
        ids=log.ids.take(pa.array(position)),
    )
    return ViewState(
        decisions, view, own, recording.ordered, asked, events, entities, tuple(findings)
    )


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


def _statuses(told: pa.ChunkedArray) -> Ints:
    names = pa.array([status.name.lower() for status in Status])
    codes: Ints = pc.fill_null(pc.index_in(told, value_set=names), -1).to_numpy().astype(np.int64)
    return codes
