"""Which features a decision can't be held to, and why: what it could not know, or what is gone.

A decision that was made before a feature was declared lacks it. One that calls a view incomplete
has no value of features that were declared while the job went on. Where the state had events that
the topics don't have, a value counts only if its window reaches none of them: an event that was
not late shows that all before it were older than it and the lateness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_features.definitions.views import SEPARATOR
from headrace_features.definitions.windows import Sliding, Tumbling
from headrace_orchestration.parity.asked import Status
from headrace_orchestration.parity.reasons import Reason, code_of
from headrace_orchestration.parity.sequences import NEVER

if TYPE_CHECKING:
    from headrace_features.definitions.views import Feature, FeatureView
    from headrace_features.kernel.arrays import Bools, Ints
    from headrace_orchestration.parity.asked import Asked
    from headrace_orchestration.parity.losses import Loss
    from headrace_orchestration.parity.recording import Recording


def excuses_of(
    recording: Recording, view: FeatureView, emitted: pa.Table, asked: Asked, loss: Loss
) -> dict[str, Ints]:
    """By feature, for each decision the number of the reason why it is not held to it.

    Args:
        recording: the run.
        view: the view that is asked.
        emitted: the decisions.
        asked: the same, as they asked the view.
        loss: which numbers of its entities belong to events that are not there.
    """
    begin = recording.begin(view.source.name)
    gone = code_of(Reason.DELETED if begin.deleted else Reason.HISTORY)
    lost = loss.some[asked.entity]
    reached_ms = _lost_until(asked, loss) if lost.any() else np.zeros(len(asked), np.int64)
    silent = np.isin(asked.status, [Status.LATE, Status.OVERFLOW])
    incomplete = asked.status == Status.INCOMPLETE
    lacking = _lacking(emitted)
    found: dict[str, Ints] = {}
    for feature in view.features:
        name = f"{view.name}{SEPARATOR}{feature.name}"
        lacks = lacking.get(name, np.zeros(len(asked), np.bool_))
        excuse = np.zeros(len(asked), np.int64)
        excuse[lost & (silent | (_first_ms(feature, asked.time_ms) <= reached_ms))] = gone
        if name in recording.added or lacks.any():
            null = np.asarray(pc.is_null(emitted[name]).to_numpy(), np.bool_)
            excuse[incomplete & null] = code_of(Reason.INCOMPLETE)
        excuse[lacks] = code_of(Reason.NOT_DECLARED)
        if excuse.any():
            found[feature.name] = excuse
    return found


def _lost_until(asked: Asked, loss: Loss) -> Ints:
    """For each decision, a time after which none of the events that are not there has happened."""
    counts = asked.status != Status.LATE
    counts &= asked.sequence >= loss.until[asked.entity]
    until_ms = np.full(len(loss.count), NEVER)
    np.minimum.at(until_ms, asked.entity[counts], asked.time_ms[counts] + asked.lateness_ms[counts])
    return until_ms[asked.entity]


def _first_ms(feature: Feature, time_ms: Ints) -> Ints:
    """How far back a feature looks at some times."""
    window = feature.window
    if not isinstance(window, Sliding | Tumbling):
        return np.full(len(time_ms), -NEVER)
    first_ms: Ints = np.asarray(window.span(time_ms)[0])  # type: ignore[arg-type] # holds for all rows at once
    return first_ms


def _lacking(emitted: pa.Table) -> dict[str, Bools]:
    """By feature the decisions that lack it."""
    column = emitted["lacking"].combine_chunks()
    names, rows = pc.list_flatten(column), pc.list_parent_indices(column).to_numpy()
    found: dict[str, Bools] = {}
    for name in pc.unique(names).to_pylist():
        lacks = np.zeros(len(emitted), np.bool_)
        lacks[rows[pc.equal(names, name).to_numpy(zero_copy_only=False)]] = True
        found[name] = lacks
    return found
