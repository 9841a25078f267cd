"""The names of all metrics, each with its kind, unit, labels and meaning."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class MetricKind(StrEnum):
    """How the values of a metric add up."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric, named by the conventions of Prometheus; `labels` are all it is split by."""

    name: str
    kind: MetricKind
    unit: str
    meaning: str
    labels: tuple[str, ...]


ROWS_READ = Metric(
    name="headrace_rows_read_total",
    kind=MetricKind.COUNTER,
    unit="rows",
    meaning="rows found in the files given to ingest",
    labels=("source",),
)
ROWS_INGESTED = Metric(
    name="headrace_rows_ingested_total",
    kind=MetricKind.COUNTER,
    unit="rows",
    meaning="rows added to the table of an event source",
    labels=("source",),
)
ROWS_REJECTED = Metric(
    name="headrace_rows_rejected_total",
    kind=MetricKind.COUNTER,
    unit="rows",
    meaning="rows kept aside because they break the contract, by reason code",
    labels=("source", "reason"),
)
ROWS_DUPLICATE = Metric(
    name="headrace_rows_duplicate_total",
    kind=MetricKind.COUNTER,
    unit="rows",
    meaning="rows left out because an earlier one has the same dedup key",
    labels=("source",),
)
ROWS_BACKFILLED = Metric(
    name="headrace_rows_backfilled_total",
    kind=MetricKind.COUNTER,
    unit="rows",
    meaning="rows written to the feature table of a view",
    labels=("view",),
)
ENTITIES_MATERIALIZED = Metric(
    name="headrace_entities_materialized_total",
    kind=MetricKind.COUNTER,
    unit="entities",
    meaning="entities whose state was written to the online store",
    labels=("view",),
)
STEP_SECONDS = Metric(
    name="headrace_step_seconds",
    kind=MetricKind.HISTOGRAM,
    unit="seconds",
    meaning="duration of one step of the batch path, from its start to its commit",
    labels=("step",),
)
DECISIONS_SUPPRESSED = Metric(
    name="headrace_decisions_suppressed_total",
    kind=MetricKind.COUNTER,
    unit="decisions",
    meaning="decisions not made again, because a former run of the job has committed them",
    labels=("decision",),
)
ALERTS_RETRACTED = Metric(
    name="headrace_alerts_retracted_total",
    kind=MetricKind.COUNTER,
    unit="alerts",
    meaning="alerts taken back, because the event was decided otherwise after a failure",
    labels=("decision",),
)
EVENTS_LEDGERED = Metric(
    name="headrace_events_ledgered_total",
    kind=MetricKind.COUNTER,
    unit="events",
    meaning="events noted in late-events, by why: late, twice, or one of the bounds of a state",
    labels=("reason",),
)
STATES_EXPIRED = Metric(
    name="headrace_states_expired_total",
    kind=MetricKind.COUNTER,
    unit="states",
    meaning="states emptied by a timer, because no window reaches their events any more",
    labels=(),
)
UPDATES_WRITTEN = Metric(
    name="headrace_updates_written_total",
    kind=MetricKind.COUNTER,
    unit="updates",
    meaning="changed fields that the online writer has put into the store",
    labels=(),
)
UPDATES_REFUSED = Metric(
    name="headrace_updates_refused_total",
    kind=MetricKind.COUNTER,
    unit="updates",
    meaning="of those, the ones for which the store had newer content",
    labels=(),
)
UPDATES_UNDECLARED = Metric(
    name="headrace_updates_undeclared_total",
    kind=MetricKind.COUNTER,
    unit="updates",
    meaning="changed fields that were passed over, as the project declares no such view",
    labels=(),
)
UPDATES_UNREADABLE = Metric(
    name="headrace_updates_unreadable_total",
    kind=MetricKind.COUNTER,
    unit="updates",
    meaning="records of changed fields that were passed over, as they can't be read",
    labels=(),
)

METRICS = (
    ROWS_READ,
    ROWS_INGESTED,
    ROWS_REJECTED,
    ROWS_DUPLICATE,
    ROWS_BACKFILLED,
    ENTITIES_MATERIALIZED,
    STEP_SECONDS,
    DECISIONS_SUPPRESSED,
    ALERTS_RETRACTED,
    EVENTS_LEDGERED,
    STATES_EXPIRED,
    UPDATES_WRITTEN,
    UPDATES_REFUSED,
    UPDATES_UNDECLARED,
    UPDATES_UNREADABLE,
)
