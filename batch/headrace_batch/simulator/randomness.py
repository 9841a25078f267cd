"""One independent random generator for each purpose and day, all from one seed."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What is drawn; a number is part of what a seed means, so it never changes."""

    CARDS = 0
    TERMINALS = 1
    COMPROMISED_TERMINALS = 2
    STOLEN_CARDS = 3
    STOLEN_CARD_COUNTS = 4
    STOLEN_TRANSACTIONS = 5
    TRANSACTIONS = 6


def generator(seed: int, stream: Stream, day: int = 0) -> np.random.Generator:
    """The generator of `stream` for one day, in its initial state.

    A day's draws depend on no other day's, so days can be generated in any grouping.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(stream, day))
    return np.random.Generator(np.random.PCG64(sequence))
