"""Events of OpenLineage that a home has recorded, held to what the specification requires."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

_FACETS = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["_producer", "_schemaURL"],
        "properties": {
            "_producer": {"type": "string", "pattern": "^[a-z]+:"},
            "_schemaURL": {"type": "string", "pattern": "^[a-z]+:"},
        },
    },
}
_DATASET = {
    "type": "object",
    "required": ["namespace", "name"],
    "properties": {
        "namespace": {"type": "string", "minLength": 1},
        "name": {"type": "string", "minLength": 1},
        **dict.fromkeys(("facets", "inputFacets", "outputFacets"), _FACETS),
    },
}
#: What a run event has to have by OpenLineage's specification 2-0-2, in our own words.
_RUN_EVENT = Draft202012Validator(
    {
        "type": "object",
        "required": ["eventType", "eventTime", "run", "job", "producer", "schemaURL"],
        "properties": {
            "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
            "eventTime": {"type": "string", "format": "date-time"},
            "producer": {"type": "string", "pattern": "^[a-z]+:"},
            "schemaURL": {"type": "string", "pattern": "RunEvent$"},
            "run": {
                "type": "object",
                "required": ["runId"],
                "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": _FACETS},
            },
            "job": {
                "type": "object",
                "required": ["namespace", "name"],
                "properties": {
                    "namespace": {"type": "string", "minLength": 1},
                    "name": {"type": "string", "minLength": 1},
                    "facets": _FACETS,
                },
            },
            "inputs": {"type": "array", "items": _DATASET},
            "outputs": {"type": "array", "items": _DATASET},
        },
    },
    format_checker=FormatChecker(),
)


def recorded_events(folder: Path) -> list[dict[str, Any]]:
    """All events of a folder, each of them valid, in the order in which they were written."""
    lines = [
        line
        for path in sorted(folder.glob("*.ndjson"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    events = [json.loads(line) for line in lines]
    for event in events:
        _RUN_EVENT.validate(event)
    return events


def told(event: dict[str, Any], facet: str, side: str = "outputs", number: int = 0) -> Any:
    """What a facet of one of an event's datasets says, without where that is specified."""
    found = event[side][number]["facets"][facet]
    return {name: value for name, value in found.items() if not name.startswith("_")}
