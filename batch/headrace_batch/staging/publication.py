"""A set is published: indexes, then the manifest by which readers go; what is over is deleted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from headrace_batch.staging.shard_formats import index_for
from headrace_batch.staging.shard_writing import SHARD_NAME
from headrace_batch.staging.splits import SPLITS
from headrace_batch.staging.statistics import joined
from headrace_batch.staging.target import UNFINISHED
from headrace_schemas.errors import ConfigurationError, HeadraceError
from headrace_shards.manifest import FILE, INDEX, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace_batch.staging.shard_writing import WrittenShard
    from headrace_batch.staging.target import Target
    from headrace_shards.manifest import Shard


class IncompleteSetError(HeadraceError):
    """Shards that were written are not all rows of a set, each once: a mistake of ours."""

    exit_code = 70


def published(target: Target) -> Manifest | None:
    """The set that a place has; None where it has none.

    Raises:
        ConfigurationError: what is there is none.
    """
    content = target.read(FILE)
    return None if content is None else Manifest.decoded(content, f"{target.place}/{FILE}")


def shards_by_split(
    written: Iterable[WrittenShard], expected: Mapping[int, int]
) -> dict[str, list[WrittenShard]]:
    """The shards of each split in their order.

    Args:
        written: as attempts have told, in any order.
        expected: by split how many rows it has to have.

    Raises:
        IncompleteSetError: they aren't all rows, or a shard is there twice.
    """
    found: dict[str, list[WrittenShard]] = {SPLITS[split]: [] for split in expected}
    for one in sorted(written, key=lambda one: (one.split, one.number)):
        found[SPLITS[one.split]].append(one)
    for split, rows in expected.items():
        shards = found[SPLITS[split]]
        numbers = [one.number for one in shards]
        told = sum(one.shard.rows for one in shards)
        if told != rows or len(set(numbers)) != len(numbers):
            raise IncompleteSetError(
                f"the shards of {SPLITS[split]} have {told:,} rows, expected {rows:,}",
                hint="nothing was published: stage the set again",
            )
    return found


def statistics_of(
    shards: Mapping[str, Sequence[WrittenShard]],
) -> dict[str, dict[str, dict[str, float | int | None]]]:
    """Of the columns of each split."""
    return {
        split: {
            name: moments.described()
            for name, moments in joined(one.moments for one in found).items()
        }
        for split, found in shards.items()
    }


def publish(target: Target, manifest: Manifest, still_ours: Callable[[], object]) -> None:
    """Have readers get a set, and delete the files of sets before the last one.

    Who reads the former set has its files until another one takes the place of this one. Killed
    anywhere, readers have either set, and the same call goes on.

    Args:
        target: where its shards are already.
        manifest: of the set.
        still_ours: raises an error if somebody else publishes there by now.
    """
    former = published(target)
    still_ours()
    for split, shards in manifest.splits.items():
        index = index_for(manifest.kind, manifest.layout, shards)
        if index is not None:
            target.write(f"{split}/{INDEX}", index)
    still_ours()
    target.write(FILE, manifest.encoded())
    _delete_others(target, manifest, former)


def _delete_others(target: Target, manifest: Manifest, former: Manifest | None) -> None:
    """Delete the shards that neither set has, of killed attempts and of older sets, and indexes."""
    kept = [manifest] if former is None else [manifest, former]
    for split in SPLITS:
        named = {shard.stored.name for one in kept for shard in _shards(one, split)}
        if index_for(manifest.kind, manifest.layout, _shards(manifest, split)) is not None:
            named |= {INDEX} if split in manifest.splits else set()
        files = [name for name in target.files(split) if name not in named and _is_ours(name)]
        target.delete([f"{split}/{name}" for name in files])


def _shards(manifest: Manifest, split: str) -> Sequence[Shard]:
    return manifest.splits.get(split, ())


def _is_ours(name: str) -> bool:
    """Whether a file of a split is one that publications write, and so may delete."""
    name = name.removesuffix(UNFINISHED)
    return name == INDEX or SHARD_NAME.fullmatch(name) is not None


def require_free(target: Target) -> None:
    """See that a place is empty, or has a set.

    Raises:
        ConfigurationError: something else is there.
    """
    if target.read(FILE) is not None:
        return
    known = {FILE, f"{FILE}{UNFINISHED}", *SPLITS}
    others = [name for name in target.files("") if name not in known]
    for split in SPLITS:
        others += [f"{split}/{name}" for name in target.files(split) if not _is_ours(name)]
    if others:
        raise ConfigurationError(
            f"{target.place} has other files, such as {others[0]}", hint="name a folder of its own"
        )
