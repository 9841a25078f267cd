"""A set is published: its manifest takes the place of the former one's, which is kept beside it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from headrace_batch.staging.shard_formats import index_for
from headrace_batch.staging.shard_writing import SHARD_NAME
from headrace_batch.staging.splits import SPLITS
from headrace_batch.staging.statistics import joined
from headrace_batch.staging.target import UNFINISHED
from headrace_schemas.errors import ConfigurationError, HeadraceError, RetryableError
from headrace_shards.manifest import FILE, INDEX, KEPT, File, Manifest, Shard, kept_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace_batch.staging.shard_writing import WrittenShard
    from headrace_batch.staging.target import Target

#: The manifest of the current set once more. Who was paused, and has replaced that of a later set,
#: gives back this one.
COPY = "manifest.copy.json"
#: How the manifest of a former set is called.
_KEPT_NAME = re.compile(r"[0-9a-f]{64}\.json")


class IncompleteSetError(HeadraceError):
    """Shards that were written are not all rows of a set, each once: a mistake of ours."""

    exit_code = 70


class _ShardsChangedError(RetryableError):
    """Shards are not as they were written; what else is retryable says nothing of them."""


def published(target: Target) -> Manifest | None:
    """The set that a place has; None where it has none.

    Raises:
        ConfigurationError: what is there is none.
    """
    content = target.read(FILE)
    return None if content is None else Manifest.decoded(content, f"{target.place}/{FILE}")


def kept_set(target: Target, digest: str) -> Manifest | None:
    """A former set that a place keeps, by its whole digest; None where it doesn't any more.

    Raises:
        ConfigurationError: what is there is none.
    """
    content = target.read(kept_file(digest))
    if content is None:
        return None
    return Manifest.decoded(content, f"{target.place}/{kept_file(digest)}")


def set_at(target: Target, digest: str | None) -> Manifest:
    """The set that a place has, or a former one that it keeps.

    Args:
        target: the place.
        digest: of the set, or how it begins; None is the current one.

    Raises:
        ConfigurationError: there is none.
    """
    current = published(target)
    if current is None:
        raise ConfigurationError(
            f"there is no training set at {target.place}", hint="headrace stage makes one"
        )
    whole = current.digest if digest is None else current.whole_digest(digest)
    found = current if whole == current.digest else kept_set(target, whole)
    if found is None:
        raise ConfigurationError(
            f"{target.place} has just let go of {whole}", hint=current.told_kept()
        )
    return found


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


def publish(
    target: Target, manifest: Manifest, keep: int, still_ours: Callable[[], object]
) -> Manifest:
    """Have readers get a set, and keep some former ones beside it; the manifest as it is there.

    Killed anywhere, readers have either set, and `settle` does what is left to do. Where the same
    rows are there already, of their files those stay that are whole: who reads them goes on.

    Args:
        target: where its shards are already.
        manifest: of the set.
        keep: how many former sets stay, so that who reads one of them goes on.
        still_ours: raises an error if somebody else publishes there by now.

    Raises:
        RetryableError: somebody else does, shards are not as they were written, or the store is
            away.
    """
    former = _former(target)
    if former is not None:
        for one in _same_rows(target, former, manifest.digest):
            manifest = replace(manifest, splits=_with_files_of(one, manifest, target))
            manifest = replace(manifest, spared=_other_files_of(one, manifest, target))
        kept = dict.fromkeys([former.digest, *former.kept])
        kept.pop(manifest.digest, None)
        manifest = replace(manifest, kept=tuple(kept)[:keep])
    _require_shards(target, manifest)
    still_ours()
    if former is not None and former.digest in manifest.kept:
        target.write(kept_file(former.digest), former.encoded())
    _make_current(target, manifest, still_ours)
    settle(target, manifest, still_ours)
    return manifest


def _former(target: Target) -> Manifest | None:
    """The set that readers have so far, or should have: see `_make_current`."""
    found = published(target)
    copy = target.read(COPY)
    if found is None or copy is None or _has_shards(target, found):
        return found
    overtaken_by = Manifest.decoded(copy, f"{target.place}/{COPY}")
    return overtaken_by if _has_shards(target, overtaken_by) else found


def _make_current(target: Target, manifest: Manifest, still_ours: Callable[[], object]) -> None:
    """Replace the manifest by which readers go.

    No store refuses that of somebody who was paused for longer than a lease right before. Whoever
    overtook it may have deleted its shards, so that it looks again, and gives back what was there.
    """
    before = target.read(COPY)
    still_ours()
    target.write(FILE, manifest.encoded())
    try:
        still_ours()
    except HeadraceError:
        _give_back(target, manifest, before)
        raise


def _give_back(target: Target, manifest: Manifest, before: bytes | None) -> None:
    """Have readers get the set that has overtaken one; none has where that is whole as it was.

    Args:
        target: where both are.
        manifest: of the one that was overtaken.
        before: the copy of the current one's manifest, as it was before.
    """
    written, copy = manifest.encoded(), target.read(COPY)
    if copy == before and _has_shards(target, manifest):
        return
    # Again where another one overtakes that as well.
    while copy is not None and copy != written and target.read(FILE) == written:
        target.write(FILE, copy)
        written, copy = copy, target.read(COPY)


def _is_current(target: Target, manifest: Manifest) -> bool:
    found = published(target)
    return found is not None and found.encoded() == manifest.encoded()


def is_whole(target: Target, manifest: Manifest) -> bool:
    """Whether all shards of a set are as they were written: all of it is read for that."""
    return all(
        _is_whole_shard(target, split, shard)
        for split, shards in manifest.splits.items()
        for shard in shards
    )


def _is_whole_shard(target: Target, split: str, shard: Shard) -> bool:
    content = target.read(shard.path(split))
    return content is not None and File.holding(shard.stored.name, content) == shard.stored


def _same_rows(target: Target, current: Manifest, digest: str) -> Iterator[Manifest]:
    """The set of a digest that a place has; others that it keeps aren't looked at."""
    if current.digest == digest:
        yield current
    elif digest in current.kept:
        yield from _kept_sets(target, [digest])


def _with_files_of(
    there: Manifest, manifest: Manifest, target: Target
) -> dict[str, tuple[Shard, ...]]:
    """The shards of a set with those files of another one of the same rows that are whole."""
    return {
        split: tuple(
            theirs
            if (theirs.compressed is None) == (ours.compressed is None)
            and _is_whole_shard(target, split, theirs)
            else ours
            for ours, theirs in zip(shards, there.splits[split], strict=True)
        )
        for split, shards in manifest.splits.items()
    }


def _other_files_of(there: Manifest, manifest: Manifest, target: Target) -> tuple[str, ...]:
    """Where the whole files of another set of the same rows are that a set has none of."""
    named = {shard.path(split) for split, shards in manifest.splits.items() for shard in shards}
    whole = (
        shard.path(split)
        for split, shards in there.splits.items()
        for shard in shards
        if shard.path(split) not in named and _is_whole_shard(target, split, shard)
    )
    return tuple(dict.fromkeys([*whole, *(path for path in there.spared if path not in named)]))


def settle(target: Target, manifest: Manifest, still_ours: Callable[[], object]) -> None:
    """Do what is left to do once a manifest is published; that may be done again at any time.

    Indexes become those of the set, then files are deleted that neither it nor a former one which
    is kept names: those of killed attempts and of older sets. Should one of these attempts go on,
    and have readers get what is deleted, they get this set again.

    Args:
        target: where the set is.
        manifest: of the set, as it is there.
        still_ours: raises an error if somebody else publishes there by now.
    """
    still_ours()
    for split in SPLITS:
        index = _index(manifest, split)
        if index is not None and target.read(f"{split}/{INDEX}") != index:
            target.write(f"{split}/{INDEX}", index)
    if target.read(COPY) != manifest.encoded():
        target.write(COPY, manifest.encoded())
    # Listed before: should this one be paused right after, it deletes nothing of a later one.
    others = _others(target, [manifest, *_kept_sets(target, manifest.kept)])
    still_ours()
    if not _is_current(target, manifest):
        _make_current(target, manifest, still_ours)
    for paths in others:
        target.delete(paths)
    if not _is_current(target, manifest):
        _make_current(target, manifest, still_ours)


def _kept_sets(target: Target, digests: Iterable[str]) -> Iterator[Manifest]:
    """Former sets that a place keeps; without those that nobody can open any more."""
    for digest in digests:
        # The current set stands, whatever has become of the manifest of a former one.
        with suppress(ConfigurationError):
            found = kept_set(target, digest)
            if found is not None:
                yield found


def _others(target: Target, kept: Sequence[Manifest]) -> list[list[str]]:
    """The files that none of the sets names that are kept, the current one first; by folder."""
    named = {kept_file(one.digest) for one in kept[1:]}
    # Manifests go first: a set that can be opened has its shards.
    found = [_unnamed(target, KEPT, named)]
    for split in SPLITS:
        named = {shard.path(split) for one in kept for shard in one.splits.get(split, ())}
        named.update(path for one in kept for path in one.spared)
        if _index(kept[0], split) is not None:
            named.add(f"{split}/{INDEX}")
        found.append(_unnamed(target, split, named))
    return found


def _unnamed(target: Target, folder: str, named: Collection[str]) -> list[str]:
    paths = (f"{folder}/{name}" for name in target.files(folder))
    return [path for path in paths if path not in named and _is_ours(path)]


def _require_shards(target: Target, manifest: Manifest) -> None:
    """See that all shards are there and as large as they were written.

    Raises:
        RetryableError: they aren't.
    """
    for split, shards in manifest.splits.items():
        sizes = target.files(split)
        for file in (shard.stored for shard in shards):
            if sizes.get(file.name) != file.size:
                size = sizes.get(file.name)
                found = "is not there" if size is None else f"has {size:,} bytes"
                raise _ShardsChangedError(
                    f"the shard {target.place}/{split}/{file.name} {found}, and {file.size:,} bytes"
                    " of it were written: something else changes files there",
                    hint="nothing was published: see what that is, and run it again",
                )


def _has_shards(target: Target, manifest: Manifest) -> bool:
    try:
        _require_shards(target, manifest)
    except _ShardsChangedError:
        return False
    return True


def _index(manifest: Manifest, split: str) -> bytes | None:
    """The index that a split has for readers that know nothing of manifests; None for none."""
    if split not in manifest.splits:
        return None
    return index_for(manifest.kind, manifest.layout, manifest.splits[split])


def _is_ours(path: str) -> bool:
    """Whether a file below a place is one that publications write, and so may delete."""
    folder, _, name = path.removesuffix(UNFINISHED).rpartition("/")
    if folder == KEPT:
        return _KEPT_NAME.fullmatch(name) is not None
    return name == INDEX or SHARD_NAME.fullmatch(name) is not None


def require_free(target: Target) -> None:
    """See that a place is empty, or has a set.

    Raises:
        ConfigurationError: something else is there.
    """
    if target.read(FILE) is not None:
        return
    known = {FILE, f"{FILE}{UNFINISHED}", COPY, f"{COPY}{UNFINISHED}", KEPT, *SPLITS}
    others = [name for name in target.files("") if name not in known]
    for folder in (KEPT, *SPLITS):
        paths = (f"{folder}/{name}" for name in target.files(folder))
        others += [path for path in paths if not _is_ours(path)]
    if others:
        raise ConfigurationError(
            f"{target.place} has other files, such as {others[0]}", hint="name a folder of its own"
        )


def require_writable(target: Target) -> None:
    """See that a place takes files, before what takes long: the lease is ours.

    Raises:
        RetryableError: it doesn't, or the store is away.
    """
    # Killed meanwhile, it goes with what former sets have left.
    target.require_writable(kept_file("0" * 64))
