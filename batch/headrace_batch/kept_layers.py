"""Which versions of views have a batch layer online, by the tables of the tiles it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_batch.meaning import FINGERPRINT
from headrace_batch.warehouse import Warehouse
from headrace_features.online.served import key_of
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_schemas.tables import TILES

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

_OF_VERSION = re.compile(r"(?P<view>\w+)_v(?P<version>\d+)")


@dataclass(frozen=True, slots=True)
class KeptLayer:
    """The batch layer of a version of a view, in the first namespace.

    Attributes:
        view: its name.
        version: the version.
        key: under which the store has it.
    """

    view: str
    version: int
    key: str

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.view}:v{self.version}"


def kept_layers(settings: Settings) -> list[KeptLayer]:
    """The batch layers that there are, whether code declares their views or not.

    Raises:
        ConfigurationError: a table is damaged.
        RetryableError: lake or store don't answer.
    """
    tiled = list(_tiled(Warehouse.of(settings)))
    layers = layers_of(open_store(settings), [one.key for one in tiled])
    return [one for one in tiled if layers[one.key].batch is not None]


def _tiled(warehouse: Warehouse) -> Iterator[KeptLayer]:
    for table in warehouse.tables(TILES):
        named, found = _OF_VERSION.fullmatch(table), warehouse.find(f"{TILES}.{table}")
        meaning = found and found.metadata().configuration.get(FINGERPRINT)
        if named is not None and meaning:
            view, version = named["view"], int(named["version"])
            yield KeptLayer(view, version, key_of(view, version, meaning))
