"""Which split each row of a training set is in, and where in it: decided by the row alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa

from headrace_batch.history_spine import EVENT_TIME
from headrace_batch.staging.times import in_ms
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRAIN, VALID, TEST, HOLDOUT = "train", "valid", "test", "holdout"
#: Splits in the order of their numbers.
SPLITS = (TRAIN, VALID, TEST, HOLDOUT)
_U64 = 2**64
Array = np.ndarray[Any, Any]
Value = TypeVar("Value")
#: Of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True, slots=True)
class SplitRule:
    """How rows are divided, by time and by entity.

    Rows of entities that are held out are in ``holdout``, whenever they are; of the others those
    before `valid_from` in ``train``, then ``valid``, and from `test_from` on ``test``.

    Attributes:
        valid_from, test_from: ms UTC; None for none of that split.
        holdout: which share of the entities is held out.
        entity: the column of the entities, where any are.
        seed: of which entities those are, and of the order of rows.
    """

    valid_from: int | None = None
    test_from: int | None = None
    holdout: float = 0.0
    entity: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check bounds."""
        if not 0 <= self.holdout < 1:
            raise ConfigurationError(
                f"{self.holdout} of the entities held out, expected a share from 0 to below 1",
                hint="such as --hold-out 0.1",
            )
        if self.holdout and self.entity is None:
            raise ConfigurationError("to hold entities out the column of theirs has to be named")
        valid, test = self.valid_from, self.test_from
        if valid is not None and test is not None and valid > test:
            raise ConfigurationError(
                f"the rows for tests begin at {_utc(test)}, before those for validation, at"
                f" {_utc(valid)}",
                hint="--test-from is the day of --valid-from or a later one",
            )
        if not 0 <= self.seed < _U64:
            raise ConfigurationError(f"the seed {self.seed}, expected a number from 0 of 64 bits")

    def require(self, columns: Sequence[str]) -> None:
        """See that a spine with some columns can be divided.

        Raises:
            ConfigurationError: it has no column of the entities.
        """
        if self.entity is not None and self.entity not in columns:
            raise ConfigurationError.unknown(
                "column of the spine",
                self.entity,
                columns,
                hint="entities are held out by a column of their keys: --entity names it",
            )

    def of(self, table: pa.Table) -> Array:
        """The split of each row of a set, as its place in `SPLITS`."""
        times = in_ms(table.column(EVENT_TIME))
        entities = None if self.entity is None else table.column(self.entity).combine_chunks()
        return self.numbers(times.to_numpy(), entities)

    def numbers(self, times_ms: Array, entities: pa.Array | None) -> Array:
        """The split of each row, as its place in `SPLITS`.

        Args:
            times_ms: when each row is.
            entities: of which each is, where any are held out.
        """
        found = np.zeros(len(times_ms), np.uint8)
        if self.valid_from is not None:
            found[times_ms >= self.valid_from] = SPLITS.index(VALID)
        if self.test_from is not None:
            found[times_ms >= self.test_from] = SPLITS.index(TEST)
        if self.holdout and entities is not None:
            found[self._held_out(entities)] = SPLITS.index(HOLDOUT)
        return found

    def _held_out(self, entities: pa.Array) -> Array:
        """Whether the entity of each row is: by a hash of it and of the seed."""
        # A row without an entity is of one that is called nothing.
        encoded = entities.dictionary_encode(null_encoding="encode")
        texts = encoded.dictionary.cast(pa.string()).to_pylist()
        bound = int(self.holdout * _U64)
        held = np.array([_hash(text, self.seed) < bound for text in texts], np.bool_)
        found: Array = held[encoded.indices.to_numpy()]
        return found


def in_order(splits: Mapping[str, Value]) -> dict[str, Value]:
    """What there is by split, in the order of their numbers; files have it in that of names."""
    return {split: splits[split] for split in sorted(splits, key=SPLITS.index)}


def places(rows: Array, seed: int) -> Array:
    """Where rows come in the order of their split: a number of 64 bits that looks random.

    Each row has another one, and the same in every run: it is its own number, mixed.
    """
    with np.errstate(over="ignore"):
        mixed = rows.astype(np.uint64) + _GAMMA * np.uint64((seed * 2 + 1) % _U64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[0]
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[1]
        found: Array = mixed ^ (mixed >> np.uint64(31))
    return found


def shard_of(place: Array, shards: int) -> Array:
    """In which of some shards rows are that have these places; the shards follow each other."""
    # The upper half is enough to divide by: products stay within 64 bits.
    upper = (place >> np.uint64(32)) * np.uint64(shards)
    found: Array = (upper >> np.uint64(32)).astype(np.int64)
    return found


def _utc(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _hash(text: str | None, seed: int) -> int:
    told = hashlib.blake2b(
        ("" if text is None else text).encode(), digest_size=8, key=seed.to_bytes(8, "little")
    )
    return int.from_bytes(told.digest(), "little")
