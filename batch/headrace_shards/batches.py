"""Which rows a step and a rank get: the same global batches on any number of ranks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from numbers import Integral

from headrace_schemas.errors import ConfigurationError


class Last(StrEnum):
    """What becomes of rows at the end of an epoch that fill no batch.

    `DROP` leaves them out; `SHORT` makes a smaller batch of them, of which ranks get as many as can
    be, some perhaps one less or none; `PAD` fills it up with the first rows of the epoch, so that
    these come twice.
    """

    DROP = "drop"
    SHORT = "short"
    PAD = "pad"


def whole(name: str, number: object) -> int:
    """A number as whoever gives one may write it: numpy's are whole too, and a state keeps none.

    Args:
        name: of what it is, as an error has it.
        number: as it was given.

    Raises:
        ConfigurationError: it isn't whole.
    """
    # To Python a truth value is a number.
    if isinstance(number, bool) or not isinstance(number, Integral):
        raise ConfigurationError(f"{name} is {number!r}, expected a whole number")
    return int(number)


@dataclass(frozen=True, slots=True)
class Share:
    """One of several ranks that read a set together."""

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        """Check that there is such a rank."""
        if not 0 <= self.rank < self.world_size:
            raise ConfigurationError(
                f"rank {self.rank} of {self.world_size}, expected one from 0 to"
                f" {self.world_size - 1}"
            )

    @classmethod
    def of(
        cls,
        rank: int | None = None,
        world_size: int | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Share:
        """What is given, else what torch.distributed says, torchrun has set, or the only one.

        Raises:
            ConfigurationError: one of the two is missing, or they don't go together.
        """
        if (rank is None) != (world_size is None):
            raise ConfigurationError("rank and world_size go together: one of them is missing")
        if rank is not None and world_size is not None:
            return cls(rank, world_size)
        # Who has met others by it has imported it.
        met = sys.modules.get("torch.distributed")
        if met is not None and met.is_available() and met.is_initialized():
            return cls(met.get_rank(), met.get_world_size())
        told = {name: environ[name] for name in ("RANK", "WORLD_SIZE") if name in environ}
        if not told:
            return cls()
        shown = " and ".join(f"{name}={number}" for name, number in told.items())
        if len(told) == 1:
            raise ConfigurationError(
                f"{shown} in the environment, expected RANK and WORLD_SIZE or none of them",
                hint="give rank and world_size, or make the loader when torch.distributed has been"
                " initialized",
            )
        try:
            return cls(int(told["RANK"]), int(told["WORLD_SIZE"]))
        except ValueError as error:
            raise ConfigurationError(f"{shown} in the environment are no numbers") from error

    def within(self, rows: int) -> tuple[int, int]:
        """The part of a batch of some rows that this rank gets, the second excluded."""
        return rows * self.rank // self.world_size, rows * (self.rank + 1) // self.world_size


@dataclass(frozen=True, slots=True)
class Batches:
    """The global batches of an epoch.

    Attributes:
        rows: of the epoch.
        size: of a batch, all ranks together.
        last: what becomes of the rest.
    """

    rows: int
    size: int
    last: Last

    def __post_init__(self) -> None:
        """Check that there are batches."""
        if self.size < 1:
            raise ConfigurationError(
                f"a batch of {self.size} rows, expected at least one",
                hint="batch_size counts the rows of all ranks together",
            )
        if self.last is Last.DROP and self.rows < self.size:
            raise ConfigurationError(
                f"{self.rows:,} rows make no batch of {self.size:,}",
                hint="a smaller batch_size, or last='short'",
            )
        if not self.rows:
            raise ConfigurationError("a split without rows has no batches")

    @property
    def handed(self) -> int:
        """How many rows of an epoch are handed out, whether they come once or twice."""
        return self.left(0) * self.size if self.last is Last.DROP else self.rows

    def left(self, position: int) -> int:
        """How many come from a position on."""
        rest = max(self.rows - position, 0)
        return rest // self.size if self.last is Last.DROP else -(-rest // self.size)

    def after(self, position: int) -> Iterator[tuple[int, int]]:
        """Where the batches from a position on begin and end.

        Past the rows of an epoch a batch goes on with the first ones.
        """
        for number in range(self.left(position)):
            start = position + number * self.size
            stop = start + self.size
            yield start, stop if self.last is Last.PAD else min(stop, self.rows)
