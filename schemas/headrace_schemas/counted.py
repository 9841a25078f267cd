"""How many there are of something, as people read it."""

from __future__ import annotations


def counted(number: int, noun: str, several: str = "") -> str:
    """A number of things: "1 row", "1,200 rows".

    `several` is what more or fewer than one are called, where that isn't the noun with an "s".
    """
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"
