"""Where a loader is, so that another one goes on there, on any number of ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from headrace_schemas.errors import ConfigurationError

FORMAT = 1
_SAME_SETTINGS = "resume with the split and the settings that the state was saved with"


@dataclass(frozen=True, slots=True)
class State:
    """A place in the order of a training set.

    Attributes:
        digests: of the sets' manifests.
        splits: the names of their splits.
        order: all that decides which rows come where.
        epoch: from 0.
        position: how many rows of the epoch all ranks together have had.
    """

    digests: tuple[str, ...]
    splits: tuple[str, ...]
    order: Mapping[str, Any]
    epoch: int
    position: int

    def described(self) -> dict[str, Any]:
        """As a checkpoint has it: numbers, texts, lists and dictionaries alone."""
        told = asdict(self)
        return {
            "format": FORMAT,
            **told,
            "digests": list(self.digests),
            "splits": list(self.splits),
        }

    def moved_to(
        self, described: Mapping[str, Any], rows: int, way_back: Callable[[tuple[str, ...]], str]
    ) -> Self:
        """This state at the place that a checkpoint tells of.

        Args:
            described: what the checkpoint has.
            rows: of an epoch of this loader.
            way_back: says how the sets of some digests are read, for errors.

        Raises:
            ConfigurationError: it is of another set or another order, beyond the epoch, or no state
                at all.
        """
        try:
            form, epoch, position = (
                int(described[name]) for name in ("format", "epoch", "position")
            )
            digests = tuple(map(str, described["digests"]))
            found = {
                "digests": digests,
                "splits": tuple(described["splits"]),
                "order": dict(described["order"]),
            }
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"this is no state of a loader: {type(error).__name__} {error}"
            ) from error
        if form != FORMAT or epoch < 0 or position < 0:
            raise ConfigurationError(
                f"the state has format {form}, epoch {epoch} and position {position},"
                f" expected format {FORMAT} and numbers from 0"
            )
        own = {"digests": self.digests, "splits": self.splits, "order": dict(self.order)}
        for name, said in (
            ("digests", "another training set"),
            ("splits", "another split"),
            ("order", "another order"),
        ):
            if found[name] != own[name]:
                raise ConfigurationError(
                    f"the state is of {said}: {_short(found[name])}, and this loader has"
                    f" {_short(own[name])}",
                    hint=way_back(digests) if name == "digests" else _SAME_SETTINGS,
                )
        # All rows being handed out is a place too: the next epoch begins there.
        if position > rows:
            raise ConfigurationError(
                f"the state is at position {position:,}, and an epoch has {rows:,} rows",
                hint="positions count rows from 0; resume with a state as state_dict() gave it",
            )
        return type(self)(self.digests, self.splits, self.order, epoch, position)


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(one)[:12] for one in value)
    return str(value)
