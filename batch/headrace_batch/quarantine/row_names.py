"""What commands call the rows of a quarantine: an ingest, or its beginning, and a row's number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

#: So much of an ingest is shown at least.
_SHORTEST = 8


def row_id(row: Mapping[str, Any]) -> str:
    """What commands call a row: of the table's columns, the ingest and its number in that."""
    return f"{row['ingest_id']}:{row['row_number']}"


def short_names(ids: Iterable[str]) -> dict[str, str]:
    """By row the shortest name that is no other row's among these."""
    found: dict[str, str] = {}
    for number, ingests in _by_number(ids).items():
        lengths = dict.fromkeys(ingests, _SHORTEST)
        for one, other in pairwise(sorted(lengths)):
            apart = _first_difference(one, other) + 1
            lengths[one] = max(lengths[one], apart)
            lengths[other] = max(lengths[other], apart)
        found |= {f"{one}:{number}": f"{one[:length]}:{number}" for one, length in lengths.items()}
    return found


def _first_difference(one: str, other: str) -> int:
    signs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in signs if a != b), min(len(one), len(other)))


def rows_named(ids: Iterable[str], names: Iterable[str]) -> dict[str, list[str]]:
    """By name the rows that it may mean: the row of that id, or all whose ingests begin so."""
    by_number = _by_number(ids)
    return {name: _named(by_number, name) for name in names}


def _named(by_number: Mapping[str, list[str]], name: str) -> list[str]:
    beginning, _, number = name.rpartition(":")
    ingests = by_number.get(number, [])
    if beginning in ingests:
        return [name]
    return [f"{one}:{number}" for one in ingests if beginning and one.startswith(beginning)]


def _by_number(ids: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in ids:
        ingest, _, number = one.rpartition(":")
        found.setdefault(number, []).append(ingest)
    return found
