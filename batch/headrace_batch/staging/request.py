"""What a training set is to be: everything that decides its rows, and how they are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from headrace_batch.staging.columns import Precision
from headrace_batch.staging.shard_formats import Format
from headrace_batch.staging.spine import Label
from headrace_batch.staging.splits import SplitRule
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.definitions.on_demand import OnDemandSelection, read_for
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.shard_kinds import Kind

if TYPE_CHECKING:
    from headrace_features.definitions.on_demand import AnySelection

#: Raised when the same request would give other files.
_FORMAT = 2


@dataclass(frozen=True, slots=True)
class StageRequest:
    """A training set that is asked for.

    Attributes:
        name: what it is called, such as the service whose features it has.
        selections: the features.
        spine: a Parquet file, or a table of the warehouse.
        out: where it is published.
        label: what is to be foretold.
        split: how rows are divided.
        left_out: columns of the spine that are not wanted.
        precision: of what a model takes in.
        zstd: whether shards are compressed.
        format: of shards.
    """

    name: str
    selections: Sequence[AnySelection]
    spine: str
    out: str
    label: Label = field(default_factory=Label)
    split: SplitRule = field(default_factory=SplitRule)
    left_out: tuple[str, ...] = ()
    precision: Precision = Precision.FLOAT32
    zstd: bool = False
    format: Format = field(default_factory=Format)

    def __post_init__(self) -> None:
        """Check what goes with which format."""
        kind = self.format.kind
        if self.zstd and kind is not Kind.MDS:
            raise ConfigurationError(
                f"shards of {kind} are not compressed as a whole", hint="leave --zstd out"
            )
        if self.format.payloads and kind is not Kind.WEBDATASET:
            raise ConfigurationError(
                f"shards of {kind} have no payloads", hint="give --format webdataset"
            )

    def described(self) -> dict[str, Any]:
        """Everything but what the spine and the tables hold, as the manifest has it."""
        return {
            "name": self.name,
            "features": [_described(one) for one in self.selections],
            "views": {
                one.view.name: {"version": one.view.version, "meaning": fingerprint(one.view)}
                for one in read_for(self.selections)
            },
            "spine": self.spine,
            "label": asdict(self.label),
            "split": asdict(self.split),
            "left_out": list(self.left_out),
            "precision": self.precision.value,
            "zstd": self.zstd,
            "format": asdict(self.format),
        }

    def set_id(self, spine: Mapping[str, Any], tables: Mapping[str, int]) -> str:
        """Names the set that this asks for.

        Args:
            spine: what identifies its rows.
            tables: the versions of the tables of events.
        """
        told = {
            "format": _FORMAT,
            "request": self.described(),
            "spine": spine,
            "tables": tables,
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _described(selection: AnySelection) -> dict[str, Any]:
    view = selection.view
    told: dict[str, Any] = {"view": view.name, "version": view.version, "names": selection.names}
    if isinstance(selection, OnDemandSelection):
        told["expressions"] = {name: str(selection.view.feature(name)) for name in selection.names}
    return told
