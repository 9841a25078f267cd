"""Waiting for what is away: pauses that grow, a line when it begins and one when it is over."""

from __future__ import annotations

from collections.abc import Callable

_FIRST_S = 0.05
_LONGEST_S = 1.0


class Patience:
    """How long to wait before the next try, and what was told of it."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told
        self._pause_s = _FIRST_S
        self.problem: str | None = None

    def failed(self, problem: str) -> float:
        """A try has failed; how many seconds to wait before the next."""
        if self.problem is None:
            self._told(f"{problem}; trying again until it works")
        self.problem = problem
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _LONGEST_S)
        return pause_s

    def succeeded(self, what: str) -> None:
        """A try has worked; tells so if others before it have failed."""
        if self.problem is not None:
            self._told(what)
        self.problem, self._pause_s = None, _FIRST_S
