"""A training set that is there to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace_schemas.errors import ConfigurationError
from headrace_shards.manifest import FILE, Manifest, kept_file
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
    def open(
        cls, place: str, options: Mapping[str, Any] | None = None, digest: str | None = None
    ) -> StagedSet:
        """The set that `headrace stage` has published at a place, or a former one that is kept.

        Args:
            place: a folder, or a URL that fsspec knows.
            options: of the file system of fsspec.
            digest: of the set, or how it begins; None is the current one.

        Raises:
            ConfigurationError: there is none, or that one isn't kept any more.
            RetryableError: the store can't be reached.
        """
        store = Store(str(place), options or {})
        current = _manifest(store, FILE)
        whole = current.digest if digest is None else current.whole_digest(digest)
        if whole == current.digest:
            return cls(store, current)
        return cls(store, _manifest(store, kept_file(whole)))

    def files(self, split: str) -> list[str]:
        """The shards of a split by path or URL, in their order, for readers of its format.

        A folder may have others too: those of the set before, which somebody may still read.

        Raises:
            ConfigurationError: there is none of that name.
        """
        return [
            f"{self.store.place.rstrip('/')}/{shard.path(split)}"
            for shard in self.manifest.split(split)
        ]


def _manifest(store: Store, name: str) -> Manifest:
    try:
        content = store.read(name)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigurationError(
            f"there is no training set at {store.place}: it has no {name}",
            hint="headrace stage makes one; what was not published is none",
        ) from error
    return Manifest.decoded(content, f"{store.place}/{name}")
