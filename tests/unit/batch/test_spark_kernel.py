"""Sorted batches are cut into tables of whole entities, and a view reaches a worker unchanged."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from pyspark import cloudpickle

from headrace_batch.spark_kernel import SentView, whole_entities
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.fraud.definitions import card_activity
from histories import LATE, view_of


@given(
    sizes=st.lists(st.integers(1, 12), max_size=12),
    cuts=st.lists(st.integers(0, 40), max_size=8),
    rows=st.integers(1, 20),
)
def test_tables_hold_whole_entities_and_at_least_so_many_rows(
    sizes: list[int], cuts: list[int], rows: int
) -> None:
    keys = [f"{number:02d}" for number, size in enumerate(sizes) for _ in range(size)]
    bounds = [0, *sorted(min(cut, len(keys)) for cut in cuts), len(keys)]
    batches = [
        pa.record_batch({"key": pa.array(keys[start:stop], pa.string())})
        for start, stop in pairwise(bounds)
    ]

    tables = [table["key"].to_pylist() for table in whole_entities(batches, "key", rows)]

    assert [key for table in tables for key in table] == keys
    seen = [key for table in tables for key in set(table)]
    assert len(seen) == len(set(seen)), "an entity is in two tables"
    assert all(len(table) >= rows for table in tables[:-1])


def test_a_sent_view_needs_no_module_of_its_project() -> None:
    for view in (card_activity, view_of(LATE, filter="small", derived={"small": "amount < 3"})):
        sent = cloudpickle.dumps(SentView(view))  # type: ignore[no-untyped-call]
        assert view.source.schema.__module__.encode() not in sent
        received = cloudpickle.loads(sent).view
        assert fingerprint(received) == fingerprint(view)
        assert received.feature_names == view.feature_names
