"""The end of the demonstration: the features of one card around a fraud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headrace_features.definitions.durations import DAY_MS

if TYPE_CHECKING:
    from headrace_batch.warehouse import Warehouse
    from headrace_features.engines import Engine
    from headrace_features.project import Project

SERVICE = "fraud"
#: Whose features are shown: the join keys of the service.
ENTITIES = ("card_id", "terminal_id")
#: A card is worth a look at if it was used at least so often in the thirty days before.
_ENOUGH_EVENTS = 15
#: Features of the story, in the order in which they are read best.
_SHOWN = {
    "card_activity": (
        "count_1d",
        "count_30d",
        "amount_minor_mean_1d",
        "amount_minor_mean_30d",
        "amount_minor_stddev_30d",
        "country_distinct_1d",
    ),
    "terminal_risk": ("count_30d_delayed_7d", "is_fraud_mean_30d_delayed_7d"),
}


@dataclass(frozen=True, slots=True)
class Story:
    """The features of one card around a fraud: by view and name, a value for each moment."""

    entities: Mapping[str, object]
    transaction: str
    moments: tuple[str, ...]
    features: Mapping[str, Mapping[str, Sequence[object]]]


def tell_story(warehouse: Warehouse, project: Project, engine: Engine) -> Story | None:
    """The fraud at which the card's amounts stand out most from its own past."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from headrace_features.definitions.views import SEPARATOR

    columns = ("transaction_id", *ENTITIES, "event_time", "is_fraud")
    table = warehouse.read(project.source("transaction_labels").table, columns)
    frauds = table.filter(table["is_fraud"]).drop_columns(["is_fraud"])
    if not frauds.num_rows:
        return None
    features = engine.history(
        project.select(
            [
                "card_activity:count_30d",
                "card_activity:amount_minor_mean_1d",
                "card_activity:amount_minor_mean_30d",
            ]
        ),
        frauds,
    )
    ratio = pc.divide(
        features["card_activity__amount_minor_mean_1d"],
        features["card_activity__amount_minor_mean_30d"],
    )
    enough = pc.greater_equal(features["card_activity__count_30d"], _ENOUGH_EVENTS)
    scores = pc.fill_null(pc.if_else(enough, ratio, 0.0), 0.0).to_numpy()
    chosen = frauds.slice(int(np.argmax(scores)), 1).to_pylist()[0]
    time_ms = chosen["event_time"]
    moments = {
        "just before": time_ms - 1,
        "with it": time_ms,
        "a day later": time_ms + DAY_MS,
        "8 days later": time_ms + 8 * DAY_MS,
    }
    entities = {key: chosen[key] for key in ENTITIES}
    spine = pa.table(
        {
            **{key: [value] * len(moments) for key, value in entities.items()},
            "event_time": list(moments.values()),
        }
    )
    found = engine.history(project.service(SERVICE).selections, spine)
    return Story(
        entities,
        f"{chosen['transaction_id']} at {_utc(time_ms)}",
        tuple(moments),
        {
            view: {name: found[f"{view}{SEPARATOR}{name}"].to_pylist() for name in names}
            for view, names in _SHOWN.items()
        },
    )


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
