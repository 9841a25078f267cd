"""What became of the promises: how many rows are equal, and the differences one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headrace_orchestration.parity.reasons import REASONS, Evidence, Reason

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Ints
    from headrace_orchestration.parity.states import ViewState


@dataclass(frozen=True)
class Differences:
    """The rows of which one feature differs.

    Attributes:
        feature: its name.
        row: the rows.
        emitted: what the stream emitted.
        expected: what it should be by the promise.
        reason: the number of the reason for each.
        evidence: the events that show it.
    """

    feature: str
    row: Ints
    emitted: pa.ChunkedArray
    expected: pa.Array
    reason: Ints
    evidence: Evidence


@dataclass(frozen=True)
class Outcome:
    """What became of one promise for one view.

    Attributes:
        promise: P1, P2 or P3.
        state: whose.
        rows: how many rows were compared.
        equal: how many of them have the same bits in every feature.
        reasons: how many of the others have which reason.
        differences: feature by feature.
    """

    promise: str
    state: ViewState
    rows: int
    equal: int
    reasons: Counter[Reason]
    differences: tuple[Differences, ...] = field(repr=False)

    @property
    def unexplained(self) -> int:
        """How many rows nothing explains."""
        return self.reasons[Reason.UNEXPLAINED]

    def lines(self) -> Iterator[dict[str, Any]]:
        """The differences, one mapping for each row and feature."""
        state = self.state
        for one in self.differences:
            order = np.argsort(one.evidence.row, kind="stable")
            rows, events = one.evidence.row[order], one.evidence.event[order]
            starts = np.searchsorted(rows, one.row)
            ends = np.searchsorted(rows, one.row, side="right")
            taken = pa.array(one.row)
            told = zip(
                state.asked.key.take(taken).to_pylist(),
                state.asked.ids.take(taken).to_pylist(),
                state.asked.time_ms[one.row].tolist(),
                one.emitted.to_pylist(),
                one.expected.to_pylist(),
                one.reason.tolist(),
                zip(starts.tolist(), ends.tolist(), strict=True),
                strict=True,
            )
            shown = state.events.ids.take(pa.array(events, mask=events < 0)).to_pylist()
            for key, event, time_ms, emitted, expected, reason, (start, end) in told:
                yield {
                    "promise": self.promise,
                    "decisions": state.decisions.name,
                    "view": state.view.name,
                    "feature": one.feature,
                    "entity": key,
                    "event": event,
                    "event_time": time_ms,
                    "emitted": emitted,
                    "expected": expected,
                    "reason": str(REASONS[reason]),
                    "explained_by": [one for one in shown[start:end] if one is not None],
                }
