"""A set is looked at: hashes, counts, headers, and a sample against the features."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headrace_batch.staging.columns import ROW
from headrace_batch.staging.packing import Packing
from headrace_batch.staging.publication import published
from headrace_batch.staging.shard_formats import Format, index_for
from headrace_batch.staging.spine import UNLABELLED, Label, Spine, Unlabelled
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.engines import load_engine
from headrace_schemas.errors import ConfigurationError, HeadraceError
from headrace_shards.cache import raw_content
from headrace_shards.errors import DamagedShardError
from headrace_shards.manifest import INDEX, Manifest, Shard

if TYPE_CHECKING:
    from headrace_batch.staging.target import Target
    from headrace_features.definitions.on_demand import AnySelection
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings
    from headrace_shards.mds import Rows

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was looked at, and what isn't right.

    Attributes:
        shards, rows: how many there are.
        compared: rows of the sample that were computed anew.
        problems: a line each.
    """

    shards: int
    rows: int
    compared: int
    problems: tuple[str, ...]


def verify(
    settings: Settings, project: Project, target: Target, manifest: Manifest, sample: int
) -> VerifyReport:
    """Hold a published set to its manifest, and some of its rows to the history of their features.

    Of the current set of a place, the indexes too: of former ones there are none.

    Args:
        settings: where tables are.
        project: declares the features.
        target: where the set is.
        manifest: of the set.
        sample: how many rows are computed anew, from the versions of the tables that the manifest
            names.
    """
    problems: list[str] = []
    if manifest == published(target):
        for split in manifest.splits:
            problems += _of_index(target, manifest, split)
    report = verify_shards(settings, project, target, manifest, sample)
    return replace(report, problems=(*problems, *report.problems))


def verify_shards(
    settings: Settings, project: Project, target: Target, manifest: Manifest, sample: int
) -> VerifyReport:
    """Do the same for shards of which nothing may be published yet."""
    problems: list[str] = []
    seen: list[Array] = []
    total = sum(manifest.rows(split) for split in manifest.splits)
    chosen, place = _chosen(manifest, total, sample), 0
    found: list[Rows] = []
    for split, shards in manifest.splits.items():
        for shard in shards:
            mine = chosen[(chosen >= place) & (chosen < place + shard.rows)] - place
            place += shard.rows
            try:
                rows = _rows(target, manifest, split, shard)
            except DamagedShardError as error:
                problems.append(str(error))
                continue
            numbers = rows["ids"][:, 0]
            seen.append(numbers.copy())
            if len(mine):
                found.append(rows[mine])
    problems += _of_numbers(seen, _expected(manifest))
    compared = 0
    if found and not problems:
        sampled = np.concatenate(found)
        sampled = sampled[np.argsort(sampled["ids"][:, 0])]
        compared = len(sampled)
        problems += _of_sample(settings, project, manifest, sampled)
    shards_in_all = sum(len(shards) for shards in manifest.splits.values())
    return VerifyReport(shards_in_all, sum(map(len, seen)), compared, tuple(problems))


def _chosen(manifest: Manifest, total: int, sample: int) -> Array:
    """The places of some rows in the shards one after another, others for each set."""
    seed = int(manifest.digest[:16], 16)
    return np.random.default_rng(seed).choice(total, min(sample, total), replace=False)


def _of_index(target: Target, manifest: Manifest, split: str) -> Iterator[str]:
    expected = index_for(manifest.kind, manifest.layout, manifest.splits[split])
    if expected is None:
        return
    found = target.read(f"{split}/{INDEX}")
    if found is None:
        yield f"there is no {split}/{INDEX}"
        return
    try:
        told = json.loads(found)
    except ValueError:
        told = None
    if told != json.loads(expected):
        yield f"{split}/{INDEX} is not that of the manifest"


def _rows(target: Target, manifest: Manifest, split: str, shard: Shard) -> Rows:
    name = shard.path(split)
    content = target.read(name)
    if content is None:
        raise DamagedShardError(name, "there is no such file")
    packing = Packing(manifest.layout, manifest.dictionaries)
    raw = raw_content(split, shard, content)
    return Format(manifest.kind).decoded(raw, name, shard.rows, packing)


def _expected(manifest: Manifest) -> int:
    """How many rows the set has to have, whatever it says of its shards: those of its spine."""
    told = manifest.made_of
    rows: int = told["spine"]["rows"]
    # Events without a label are in no spine of a declared set, though it says how many there are.
    if told["label"].get("unlabelled") == Unlabelled.LEAVE_OUT:
        rows -= told["rows_left_out"][UNLABELLED]
    return rows


def _of_numbers(seen: Sequence[Array], expected: int) -> Iterator[str]:
    """See that each row of the spine is there, once."""
    numbers = np.sort(np.concatenate(seen)) if seen else np.empty(0, np.int64)
    found = len(np.unique(numbers))
    if found < len(numbers):
        yield f"{len(numbers) - found:,} rows are there twice"
    if found < expected:
        yield f"{expected - found:,} of {expected:,} rows are missing"
    if found > expected:
        yield f"{found:,} rows are there, and the spine has {expected:,}"


def _of_sample(
    settings: Settings, project: Project, manifest: Manifest, sampled: Rows
) -> Iterator[str]:
    """Compute the features of some rows anew, and compare all bits."""
    told = manifest.made_of
    numbers = sampled["ids"][:, 0]
    try:
        label = Label(tuple(told["label"]["columns"]), told["label"]["known_at"])
        spine = label.known(_spine_rows(settings, told, numbers))
        computed = load_engine("local", settings).history(
            _selections(project, told),
            spine,
            {one["table"]: one["version"] for one in told["tables"]},
        )
    except HeadraceError as error:
        yield f"a sample could not be computed anew: {error}"
        return
    numbered = computed.append_column(ROW, pa.array(numbers))
    expected = Packing(manifest.layout, manifest.dictionaries).rows(numbered)
    for part in manifest.layout.all_parts:
        differ = _bytes(expected[part.name]) != _bytes(sampled[part.name])
        unlike = np.flatnonzero(differ.any(axis=1))
        if len(unlike):
            yield (
                f"{len(unlike):,} of {len(sampled):,} rows of the sample differ in {part.name} from"
                f" the history of their features, such as row {numbers[unlike[0]]}"
            )


def _bytes(values: Array) -> Array:
    """The bytes of each row: not even the sign of a zero may differ."""
    found: Array = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    return found


def _spine_rows(settings: Settings, told: Mapping[str, Any], numbers: Array) -> pa.Table:
    """Rows of the spine by their numbers.

    Raises:
        ConfigurationError: it isn't there any more, or has other rows.
    """
    known = dict(told["spine"])
    place = known.pop("place")
    warehouse = Warehouse.of(settings)
    if "table" in known:
        warehouse = replace(warehouse, versions={known["table"]: known["version"]})
    spine = Spine.open(warehouse, place, settings.warehouse.storage_options)
    if dict(spine.identity) != known:
        raise ConfigurationError(f"the spine {place} has other rows than when the set was staged")
    found, first = [], 0
    for table in spine.rows.read(spine.rows.schema.names):
        mine = numbers[(numbers >= first) & (numbers < first + len(table))]
        found.append(table.take(pa.array(mine - first)))
        first += len(table)
    return pa.concat_tables(found)


def _selections(project: Project, told: Mapping[str, Any]) -> Sequence[AnySelection]:
    """The features of a set, as the project declares them.

    Raises:
        ConfigurationError: it declares others by now.
    """
    selections = project.select(
        [f"{one['view']}:{name}" for one in told["features"] for name in one["names"]]
    )
    for name, one in told["views"].items():
        if name not in project.views or fingerprint(project.views[name]) != one["meaning"]:
            raise ConfigurationError(
                f"the set has version {one['version']} of {name}, and the project declares another"
            )
    return selections
