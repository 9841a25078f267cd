"""A training set that is there to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace_schemas.errors import ConfigurationError
from headrace_shards.manifest import FILE, Manifest
from headrace_shards.store import Store


@dataclass(frozen=True, slots=True)
class StagedSet:
    """A published set.

    Attributes:
        store: where it is.
        manifest: what it is.
    """

    store: Store
    manifest: Manifest

    @classmethod
    def open(cls, place: str, options: Mapping[str, Any] | None = None) -> StagedSet:
        """The set that `headrace stage` has published at a place.

        Args:
            place: a folder, or a URL that fsspec knows.
            options: of the file system of fsspec.

        Raises:
            ConfigurationError: there is none.
            RetryableError: the store can't be reached.
        """
        store = Store(str(place), options or {})
        try:
            content = store.read(FILE)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ConfigurationError(
                f"there is no training set at {place}: it has no {FILE}",
                hint="headrace stage makes one; what was not published is none",
            ) from error
        return cls(store, Manifest.decoded(content, f"{place}/{FILE}"))

    def files(self, split: str) -> list[str]:
        """The shards of a split by path or URL, in their order, for readers of its format.

        A folder may have others too: those of the set before, which somebody may still read.

        Raises:
            ConfigurationError: there is none of that name.
        """
        return [
            f"{self.store.place.rstrip('/')}/{split}/{shard.stored.name}"
            for shard in self.manifest.split(split)
        ]
