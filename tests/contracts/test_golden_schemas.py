"""The JSON Schemas in the repository are those of the contracts."""

from __future__ import annotations

from pathlib import Path

from headrace_schemas.json_schema import differences

FOLDER = Path(__file__).parents[2] / "schemas" / "json"


def test_the_json_schemas_are_those_of_the_contracts() -> None:
    assert differences(FOLDER) == [], "run `make schemas` and commit the result"
