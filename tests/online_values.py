"""What readers of the online store find, beside what the oracle says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from headrace_features import oracle
from headrace_features.feast_plugin import repository
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_features.oracle import SpineRow
from headrace_schemas.settings import Settings
from histories import bits
from stream_cases import DAY_MS, HOUR_MS
from streams import headrace

Rows = list[dict[str, Any]]


def status_of(settings: Settings, name: str) -> list[Any]:
    """What the command tells of each view."""
    shown = json.loads(headrace(settings.home, "online", "status", "--json").stdout)
    return [one[name] for one in shown]


def require_the_oracle_s_online(settings: Settings, made: Rows, labels: Rows) -> None:
    """See that Feast gives the values of the oracle at several times."""
    newest_ms = made[-1]["event_time"]
    store = repository.feature_store(settings)
    for view, rows in ((card_activity, made), (terminal_risk, labels)):
        key = view.entity.join_key
        names = [f"{view.name}:{name}" for name in view.feature_names]
        spine = list(spine_of(sorted({row[key] for row in rows}), newest_ms))
        found = store.get_online_features(
            features=names,
            entity_rows=[{key: row.key, "as_of": row.time_ms} for row in spine],
        ).to_dict()
        for place, row in enumerate(spine):
            known = [one for one in rows if one[key] == row.key]
            expected = oracle.values(view, known, [row])[0]
            values = {name: bits(found[name][place]) for name in expected}
            assert values == {name: bits(value) for name, value in expected.items()}, row


def spine_of(keys: Sequence[str], newest_ms: int) -> Iterator[SpineRow]:
    for key in keys:
        for after_ms in (0, 1, HOUR_MS, 9 * DAY_MS):
            yield SpineRow(key, newest_ms + after_ms)
