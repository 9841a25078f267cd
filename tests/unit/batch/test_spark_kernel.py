"""A view reaches a worker unchanged."""

from __future__ import annotations

from pyspark import cloudpickle

from headrace_batch.spark_kernel import SentView
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.fraud.definitions import card_activity
from histories import LATE, view_of


def test_a_sent_view_needs_no_module_of_its_project() -> None:
    for view in (card_activity, view_of(LATE, filter="small", derived={"small": "amount < 3"})):
        sent = cloudpickle.dumps(SentView(view))  # type: ignore[no-untyped-call]
        assert view.source.schema.__module__.encode() not in sent
        received = cloudpickle.loads(sent).view
        assert fingerprint(received) == fingerprint(view)
        assert received.feature_names == view.feature_names
