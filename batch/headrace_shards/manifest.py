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
#: Of former sets that are kept: the folder of their manifests, which are named by their digests.
KEPT = "manifests"
INDEX = "index.json"
#: How a compressed shard is named after the one that it holds.
COMPRESSED = ".zstd"
#: How much of a digest people are shown.
_SHOWN = 12
_ANEW = "copy the set anew, or delete the file and stage the set again"


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

    def path(self, split: str) -> str:
        """Where that is, below the place of the set: in the folder of its split.

        It is also what people are told: shards of several splits may have one name.
        """
        return f"{split}/{self.stored.name}"

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
        kept: the digests of former sets that are still there beside this one, the newest first.
        spared: where files are that have the same rows compressed, or not compressed, from when
            this set was published so: whoever reads them goes on.
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
    kept: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()

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

    def whole_digest(self, begins: str) -> str:
        """The digest of this set, or of a former one that is kept, by how it begins.

        Raises:
            ConfigurationError: there is no such set any more, or several are called so.
        """
        there = dict.fromkeys([self.digest, *self.kept])
        found = [one for one in there if begins and one.startswith(begins)]
        if len(found) != 1:
            said = "several sets are" if found else "no set is there any more that is"
            raise ConfigurationError(
                f"{said} called {begins[:_SHOWN]!r}, expected one digest or how it begins",
                hint=self.told_kept(),
            )
        return found[0]

    def told_kept(self) -> str:
        """Which sets there are, for people."""
        former = ", ".join(one[:_SHOWN] for one in self.kept) or "none"
        return f"the current one is {self.digest[:_SHOWN]}; former ones that are kept: {former}"

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
            "kept": list(self.kept),
            "spared": list(self.spared),
        }
        told["checksum"] = _checksum(told)
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
                # Sets that were staged before any were kept say nothing of them.
                kept=tuple(told.get("kept", ())),
                spared=tuple(told.get("spared", ())),
            )
            digest = str(told["digest"])
            # Sets that were staged before any had one have none.
            checksum = told.pop("checksum", None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{place} is no manifest of a training set: {type(error).__name__} {error}",
                hint=f"name the folder that headrace stage was given with --out; if it is, {_ANEW}",
            ) from error
        if found.digest != digest:
            raise ConfigurationError(
                f"{place} was changed: its digest is {found.digest[:_SHOWN]}, and it says"
                f" {digest[:_SHOWN]}",
                hint=_ANEW,
            )
        if checksum not in {None, _checksum(told)}:
            raise ConfigurationError(
                f"{place} was changed: its rows are the same, what is told of them is not",
                hint=_ANEW,
            )
        return found


def _checksum(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def kept_file(digest: str) -> str:
    """Where the manifest of a former set is, below the place of the current one."""
    return f"{KEPT}/{digest}.json"


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
