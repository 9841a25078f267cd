"""Arrays that batches are put into, again once nobody holds them any more."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Pool:
    """Arrays of one kind, lent to whoever asks, several at a time.

    They are free once nobody refers to them, nor to views of them: no one has to give them back,
    and a batch that somebody keeps stays as it is. CPython counts references.
    """

    def __init__(self, make: Callable[[], Sequence[Array]], most: int) -> None:
        """Begin without any.

        Args:
            make: new ones.
            most: how many times these are kept.
        """
        self._make = make
        self._most = most
        self._kept: list[list[Array]] = []
        self._lock = threading.Lock()

    def take(self) -> list[Array]:
        """Arrays that nobody refers to."""
        with self._lock:
            for arrays in self._kept:
                if _references(arrays) <= _UNUSED:
                    # Another list: from here on they are referred to.
                    return list(arrays)
            made = list(self._make())
            if len(self._kept) < self._most:
                self._kept.append(list(made))
            return made


def _references(arrays: Sequence[Array]) -> int:
    """How often the one of some arrays is referred to of which that is most."""
    return max(sys.getrefcount(array) for array in arrays)


#: The same of arrays that nothing but a list refers to.
_UNUSED = _references([np.empty(0)])
