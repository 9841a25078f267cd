"""The columns that batches have, and how they are taken out of gathered rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace_schemas.errors import ConfigurationError
from headrace_shards.layout import MASK, Part

if TYPE_CHECKING:
    from headrace_shards.layout import Layout
    from headrace_shards.mds import Rows

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Selection:
    """Some columns of a layout, part by part.

    Attributes:
        layout: of the rows.
        places: by part the places of the columns in it; None for all of them.
    """

    layout: Layout
    places: Mapping[str, tuple[int, ...] | None]

    @classmethod
    def of(cls, layout: Layout, columns: Sequence[str] | None) -> Selection:
        """What some columns need: all of them, or those that are named, in that order.

        The mask comes along where one of them may be null.

        Raises:
            ConfigurationError: there is no such column, or none is asked for.
        """
        if columns is None:
            return cls(layout, {part.name: None for part in layout.all_parts})
        if not columns:
            raise ConfigurationError("no column is asked for", hint="columns=None has all of them")
        asked: dict[str, tuple[int, ...]] = {}
        for column in columns:
            if column not in layout.places:
                raise ConfigurationError.unknown(
                    "column of the training set", column, layout.places
                )
            name, place = layout.places[column]
            asked[name] = (*asked.get(name, ()), place)
        places: dict[str, tuple[int, ...] | None] = {
            part.name: None
            if asked[part.name] == tuple(range(len(part.columns)))
            else asked[part.name]
            for part in layout.parts
            if part.name in asked
        }
        if set(columns) & set(layout.nullable):
            places[MASK] = None
        return cls(layout, places)

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """By part the names of its columns in a batch, but for the mask."""
        return {
            part.name: self._columns(part) for part in self.layout.parts if part.name in self.places
        }

    def arrays(self, rows: int) -> dict[str, Array]:
        """Arrays for the parts of a batch."""
        return {
            part.name: np.empty(
                (rows,) if part.is_scalar else (rows, len(self._columns(part))), part.dtype
            )
            for part in self.layout.all_parts
            if part.name in self.places
        }

    def fill(self, arrays: Mapping[str, Array], rows: Rows) -> None:
        """Put the columns of rows into arrays of as many."""
        for name, array in arrays.items():
            places = self.places[name]
            found = rows[name]
            array[...] = found if places is None else found[:, list(places)]

    def _columns(self, part: Part) -> tuple[str, ...]:
        places = self.places[part.name]
        return part.columns if places is None else tuple(part.columns[one] for one in places)
