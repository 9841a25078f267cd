"""What a training set is made of: the layout of its rows, its shards, and where all comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.shard_kinds import Kind
from headrace_shards.layout import Layout
from headrace_shards.mds import columns_of

#: Raised when a reader of manifests would have to know of a change.
FORMAT = 2
FILE = "manifest.json"
INDEX = "index.json"
#: How a compressed shard is named after the one that it holds.
COMPRESSED = ".zstd"


@dataclass(frozen=True, slots=True)
class File:
    """A file: its bytes and their SHA-256."""

    name: str
    size: int
    sha256: str

    def described(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"name": self.name, "size": self.size, "sha256": self.sha256}

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> File:
        """What JSON describes."""
        return cls(described["name"], described["size"], described["sha256"])

    @classmethod
    def holding(cls, name: str, content: bytes) -> File:
        """A file of some bytes."""
        return cls(name, len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class Shard:
    """Some rows of a split.

    Attributes:
        rows: how many.
        raw: the shard as it is mapped.
        compressed: what of it is stored, where that isn't the shard itself.
    """

    rows: int
    raw: File
    compressed: File | None = None

    @property
    def stored(self) -> File:
        """The file that the set has of it."""
        return self.compressed or self.raw

    def described(self) -> dict[str, Any]:
        """As JSON has it."""
        zipped = None if self.compressed is None else self.compressed.described()
        return {"rows": self.rows, "raw": self.raw.described(), "compressed": zipped}

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Shard:
        """What JSON describes."""
        zipped = described["compressed"]
        return cls(
            described["rows"],
            File.of(described["raw"]),
            None if zipped is None else File.of(zipped),
        )


@dataclass(frozen=True)
class Manifest:
    """A training set.

    Attributes:
        set_id: names it: what it was made of, in which way.
        layout: of its rows.
        splits: by name the shards, in order; each in a folder of its name.
        dictionaries: by column of texts the text of each code, from 0; tars and Parquet have texts
            as they are, and none of columns with very many.
        statistics: by split and column: how many numbers, nulls, and values that are NaN or
            infinite; of the numbers mean, standard deviation, least and greatest.
        made_of: where all comes from.
        kind: what the shards are; of tars and Parquet the layout tells which columns are for what.
    """

    set_id: str
    layout: Layout
    splits: Mapping[str, tuple[Shard, ...]]
    dictionaries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    statistics: Mapping[str, Mapping[str, Mapping[str, float | int | None]]] = field(
        default_factory=dict
    )
    made_of: Mapping[str, Any] = field(default_factory=dict)
    kind: Kind = Kind.MDS

    @cached_property
    def digest(self) -> str:
        """Identifies the rows and their order, whatever is told of them besides.

        A set that was copied has the same one; one with any other row has another.
        """
        told = {
            "layout": self.layout.described(),
            "dictionaries": {name: list(texts) for name, texts in self.dictionaries.items()},
            "splits": {
                name: [[one.rows, one.raw.sha256] for one in shards]
                for name, shards in sorted(self.splits.items())
            },
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def split(self, name: str) -> tuple[Shard, ...]:
        """The shards of a split.

        Raises:
            ConfigurationError: there is none of that name.
        """
        if name not in self.splits:
            raise ConfigurationError.unknown("split", name, self.splits)
        return self.splits[name]

    def rows(self, split: str) -> int:
        """How many rows a split has."""
        return sum(shard.rows for shard in self.split(split))

    def encoded(self) -> bytes:
        """As a file has it."""
        told = {
            "format": FORMAT,
            "set_id": self.set_id,
            "kind": self.kind.value,
            "digest": self.digest,
            "layout": self.layout.described(),
            "splits": {
                name: {
                    "rows": self.rows(name),
                    "shards": [shard.described() for shard in shards],
                }
                for name, shards in self.splits.items()
            },
            "dictionaries": {name: list(texts) for name, texts in self.dictionaries.items()},
            "statistics": self.statistics,
            "made_of": self.made_of,
        }
        return json.dumps(told, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"

    @classmethod
    def decoded(cls, content: bytes, place: str) -> Manifest:
        """What a file has.

        Args:
            content: of the file.
            place: where it is, for errors.

        Raises:
            ConfigurationError: it is no manifest, of another format, or was changed.
        """
        try:
            told = json.loads(content)
            if told["format"] != FORMAT:
                raise ConfigurationError(
                    f"{place} is a manifest of format {told['format']}, expected {FORMAT}",
                    hint="read it with the release that wrote it, or a newer one",
                )
            found = cls(
                set_id=told["set_id"],
                layout=Layout.of(told["layout"]),
                splits={
                    name: tuple(Shard.of(one) for one in split["shards"])
                    for name, split in told["splits"].items()
                },
                dictionaries={name: tuple(texts) for name, texts in told["dictionaries"].items()},
                statistics=told["statistics"],
                made_of=told["made_of"],
                kind=Kind(told["kind"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{place} is no manifest of a training set: {type(error).__name__} {error}",
                hint="name the folder that headrace stage was given with --out",
            ) from error
        if found.digest != told["digest"]:
            raise ConfigurationError(
                f"{place} was changed: its digest is {found.digest[:12]}, and it says"
                f" {told['digest'][:12]}",
                hint="stage the set again",
            )
        return found


def index_of(layout: Layout, shards: tuple[Shard, ...]) -> bytes:
    """The index of a split as mosaicml-streaming reads it."""
    told = {
        "version": 2,
        "shards": [
            {
                "version": 2,
                "format": "mds",
                "compression": None if shard.compressed is None else "zstd",
                "hashes": ["sha256"],
                "size_limit": None,
                "samples": shard.rows,
                "raw_data": _info(shard.raw),
                "zip_data": None if shard.compressed is None else _info(shard.compressed),
                **columns_of(layout),
            }
            for shard in shards
        ],
    }
    return json.dumps(told, sort_keys=True).encode()


def _info(file: File) -> dict[str, Any]:
    return {"basename": file.name, "bytes": file.size, "hashes": {"sha256": file.sha256}}
