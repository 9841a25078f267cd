"""How many there are of something is told in the number that it has."""

from __future__ import annotations

from headrace_schemas.counted import counted


def test_one_is_no_plural_and_all_others_are() -> None:
    told = [counted(number, "row") for number in (0, 1, 2, 1200)]
    assert told == ["0 rows", "1 row", "2 rows", "1,200 rows"]
    assert counted(1, "entity", "entities") == "1 entity"
    assert counted(2, "entity", "entities") == "2 entities"
