"""Events that nobody decides on, such as labels, told by the decisions that have seen them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace_features.kernel.prepare import apply_expressions, encode_keys
from headrace_orchestration.parity.accounts import taken_as_duplicates
from headrace_orchestration.parity.recording import places_of

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.kernel.arrays import Bools
    from headrace_orchestration.parity.recording import DecisionLog, Recording


def facts_missing(recording: Recording) -> bool:
    """Whether decisions have seen more events of some entity than a recording has.

    It can't be told of states that were made of other events as well.
    """
    return any(
        _counts_more(recording, log, view)
        for log in recording.decisions.values()
        for view in log.decisions.views
        if view.source.name != log.decisions.source.name and recording.begin(view.source.name).whole
    )


def _counts_more(recording: Recording, log: DecisionLog, view: FeatureView) -> bool:
    source = recording.sources[view.source.name]
    taken = source.events.filter(pa.array(_taken(recording, log, view)))
    facts = apply_expressions(view, taken.select(list(view.input_columns)))
    join_key = view.entity.join_key
    keys = [facts[join_key].cast(pa.string()), log.table[f"event.{join_key}"].cast(pa.string())]
    codes = encode_keys(pa.chunked_array([chunk for key in keys for chunk in key.chunks]))
    fact, asked = codes[: len(facts)], codes[len(facts) :]
    counts = np.bincount(fact, minlength=int(codes.max(initial=-1)) + 1)
    told = log.table[f"sequence.{view.name}"].to_numpy()
    return bool((told > counts[asked]).any())


def _taken(recording: Recording, log: DecisionLog, view: FeatureView) -> Bools:
    """Which events the state of a view has not refused, by the ledger."""
    source, name = recording.sources[view.source.name], log.decisions.name
    left_out = taken_as_duplicates(recording, log.decisions, source, view.entity.join_key)
    refused = recording.ledgered(
        source.source.name, name, ["too_old", "state_full"], view=view.name
    )
    found = source.find(places_of(refused))
    left_out[found[found >= 0]] = True
    return ~left_out
