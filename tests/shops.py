"""A project of `headrace init`, another version of its view, and what is kept of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headrace_schemas.settings import Settings, load
from streams import headrace

USER = "user-001"
#: In which features the second version of user_activity differs on purpose.
PURPOSELY = (
    "count_1h",
    "count_1d",
    "count_7d",
    "count_session_30m",
    "item_id_distinct_1d",
    "item_id_distinct_7d",
    "item_id_distinct_session_30m",
)
ACCEPTED = tuple(option for name in PURPOSELY for option in ("--accept", name))


def settings_of(shop: Path, home: Path) -> Settings:
    """The settings of a project with its data in a home."""
    return load(shop, {"HEADRACE_HOME": str(home)})


def events_of(shop: Path) -> list[dict[str, Any]]:
    """Its sample events, in the order of time."""
    return [json.loads(line) for line in (shop / "events.jsonl").read_text().splitlines()]


def declare_second(shop: Path) -> None:
    """Another meaning of a view: only what isn't just looked at counts, and one window more."""
    place = shop / "shop_definitions.py"
    text = place.read_text()
    text = text.replace("version=1", "version=2", 1)
    text = text.replace('Sliding("1h"), ', 'Sliding("1h"), Sliding("2h"), ', 1)
    text = text.replace("derived=", "filter=\"action <> 'view'\",\n    derived=", 1)
    place.write_text(text)


def listed(shop: Path, home: Path, *options: str) -> dict[str, dict[str, Any]]:
    """What `headrace versions list` tells, by namespace."""
    told = headrace(home, "versions", "list", "--json", *options, folder=shop).stdout
    return {one["namespace"]: one for one in json.loads(told)}
