"""How a row of a training set lies in a shard: fixed-width parts, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from headrace_schemas.errors import ConfigurationError

#: Rows begin at multiples of it, and so do their parts of eight bytes.
_ALIGNED = 8
#: The part of which each bit says that a column is null.
MASK = "mask"
_DTYPES = ("int64", "float64", "int32", "float32", "uint8")


@dataclass(frozen=True, slots=True)
class Part:
    """Columns of one type, which a batch has as one array.

    Attributes:
        name: in batches, and in the index of MDS.
        dtype: int64, float64, int32, float32 or uint8.
        columns: their names, in order.
        is_scalar: there is one column, and a batch has it without a second dimension.
    """

    name: str
    dtype: str
    columns: tuple[str, ...]
    is_scalar: bool = False

    def __post_init__(self) -> None:
        """Check the type and the number of columns."""
        if self.dtype not in _DTYPES:
            raise ConfigurationError.unknown(f"type of the part {self.name}", self.dtype, _DTYPES)
        if not self.columns or (self.is_scalar and len(self.columns) > 1):
            raise ConfigurationError(f"the part {self.name} has {len(self.columns)} columns")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""
        return () if self.is_scalar else (len(self.columns),)

    @property
    def size(self) -> int:
        """Bytes of one row."""
        return int(np.dtype(self.dtype).itemsize) * len(self.columns)

    @property
    def encoding(self) -> str:
        """The type in the index of MDS."""
        return self.dtype if self.is_scalar else f"ndarray:{self.dtype}:{len(self.columns)}"


@dataclass(frozen=True)
class Layout:
    """The parts of a row, the widest types first, and which bit of the mask is whose.

    Attributes:
        parts: without the mask.
        nullable: the columns that may be null, in the order of their bits, the lowest of a byte
            first. A null is 0 in its part.
    """

    parts: tuple[Part, ...]
    nullable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that names are unique, and that nothing lies askew."""
        names = [part.name for part in self.parts] + [MASK]
        columns = [column for part in self.parts for column in part.columns]
        for kind, found in (("part", names), ("column", columns)):
            for name in found:
                if found.count(name) > 1:
                    raise ConfigurationError(f"a training set would have two {kind}s {name!r}")
        for name in self.nullable:
            if name not in columns:
                raise ConfigurationError.unknown("column of a training set", name, columns)
        widths = [np.dtype(part.dtype).itemsize for part in self.parts]
        if widths != sorted(widths, reverse=True):
            raise ConfigurationError(
                f"parts lie askew: {', '.join(part.name for part in self.parts)}",
                hint="the widest types come first",
            )

    @cached_property
    def all_parts(self) -> tuple[Part, ...]:
        """The parts, and the mask, which fills a row up to a multiple of eight bytes."""
        size = sum(part.size for part in self.parts)
        needed = -(-len(self.nullable) // 8)
        filled = -(-(size + needed) // _ALIGNED) * _ALIGNED - size
        if not filled:
            return self.parts
        return (*self.parts, Part(MASK, "uint8", tuple(f"byte_{n}" for n in range(filled))))

    @cached_property
    def dtype(self) -> np.dtype[np.void]:
        """A row as numpy has it."""
        return np.dtype([(part.name, part.dtype, part.shape) for part in self.all_parts])

    @cached_property
    def places(self) -> Mapping[str, tuple[str, int]]:
        """By column its part, and its place in that."""
        return {
            column: (part.name, place)
            for part in self.parts
            for place, column in enumerate(part.columns)
        }

    def part(self, name: str) -> Part:
        """The part of a name.

        Raises:
            ConfigurationError: there is none.
        """
        for part in self.all_parts:
            if part.name == name:
                return part
        raise ConfigurationError.unknown("part", name, (part.name for part in self.all_parts))

    def nulls(self, mask: np.ndarray[Any, np.dtype[np.uint8]], column: str) -> np.ndarray[Any, Any]:
        """Which rows are null in a column, by the mask of a batch.

        Raises:
            ConfigurationError: there is no such column.
        """
        if column not in self.places:
            raise ConfigurationError.unknown("column of the training set", column, self.places)
        if column not in self.nullable:
            return np.zeros(len(mask), np.bool_)
        bit = self.nullable.index(column)
        return np.asarray((mask[:, bit >> 3] >> (bit & 7)) & 1 == 1)

    def described(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "parts": [
                {
                    "name": part.name,
                    "dtype": part.dtype,
                    "columns": list(part.columns),
                    "is_scalar": part.is_scalar,
                }
                for part in self.parts
            ],
            "nullable": list(self.nullable),
        }

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Layout:
        """What JSON describes.

        Raises:
            ConfigurationError: it is no layout.
        """
        parts: Sequence[Mapping[str, Any]] = described["parts"]
        return cls(
            tuple(
                Part(one["name"], one["dtype"], tuple(one["columns"]), bool(one["is_scalar"]))
                for one in parts
            ),
            tuple(described["nullable"]),
        )
