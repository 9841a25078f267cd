"""Batches of a training set, in an order that can be gone on with anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.shard_kinds import Kind
from headrace_shards.ahead import ahead
from headrace_shards.batches import Batches, Last, Share, whole
from headrace_shards.buffers import Pool
from headrace_shards.cache import ShardFiles
from headrace_shards.downloads import Downloads
from headrace_shards.layout import Layout
from headrace_shards.mds import Rows
from headrace_shards.order import BLOCK_ROWS
from headrace_shards.reading import ReadableSplit, Reader
from headrace_shards.selection import Selection
from headrace_shards.sequence import Mixture, RowSequence, Split
from headrace_shards.staged_set import StagedSet
from headrace_shards.state import State

#: The arrays of a batch, by part.
Batch: TypeAlias = dict[str, np.ndarray[Any, Any]]
ResultT = TypeVar("ResultT")
#: How large the folder of a remote or compressed set may become, unless it is said.
_CACHE_LIMIT = 1 << 36


@dataclass(frozen=True, slots=True)
class Source:
    """A split of a training set, and its share where several are mixed.

    Attributes:
        place: a folder, or a URL that fsspec knows.
        split: its name.
        weight: its share of each batch, above 0: those of all sources sum to 1, so the default is
            for one alone.
        options: of the file system of fsspec.
    """

    place: str | Path
    split: str = "train"
    weight: float = 1.0
    options: Mapping[str, Any] | None = None


class Span(NamedTuple):
    """Rows of an epoch from one position to another, the second excluded."""

    epoch: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many."""
        return self.stop - self.start


class Loader:
    """Iterates over the batches of an epoch, as arrays by part.

    An iteration that has ended is followed by one of the next epoch; one that was broken off, by
    one that begins the same epoch anew, unless `load_state_dict` says where to go on. An array of a
    batch is used again once nobody holds it or a view of it.

    The part ``mask``, of bytes, says what is null: the column number i of ``layout.nullable`` has
    the bit i % 8 of the byte i // 8, counted from the least significant. `Layout.nulls` reads it.
    """

    def __init__(  # noqa: PLR0913 - each can be left out
        self,
        *sources: Source | str | Path,
        batch_size: int,
        seed: int = 0,
        block_rows: int = BLOCK_ROWS,
        columns: Sequence[str] | None = None,
        last: Last | str = Last.DROP,
        rank: int | None = None,
        world_size: int | None = None,
        prefetch: int = 4,
        threads: int = 1,
        cache: str | Path | None = None,
        cache_limit: int = _CACHE_LIMIT,
        verify: bool = True,
        epoch_rows: int | None = None,
        digest: str | Sequence[str] | None = None,
    ) -> None:
        """Open the sets.

        Args:
            sources: one, or several that are mixed by their weights, which sum to 1; a place alone
                is its split ``train``.
            batch_size: rows of a global batch, all ranks together.
            seed: of the order, a number from 0 of at most 64 bits.
            block_rows: how many rows are permuted with each other; 0 leaves all as they are.
            columns: those that batches have; None for all.
            last: what becomes of rows that fill no batch: ``drop``, ``short`` or ``pad``.
            rank, world_size: of this process; by default what torch.distributed says where it is
                initialized, else those that torchrun has set, else the only one.
            prefetch: how many batches are read ahead; 0 reads each when it is asked for, and
                fetches no shard sooner. There is memory for one more, which the step has, and one
                for each thread.
            threads: that read.
            cache: a folder for the shards of remote or compressed sets, which need one; it is made
                if it isn't there.
            cache_limit: how many bytes it may have.
            verify: whether the hash of each shard of this machine is checked before its first use.
            epoch_rows: of a mixture; by default as many as its sets have together.
            digest: of the set to read, where a place keeps former ones beside its current one; of
                several sources one each, as ``state["digests"]`` has them.

        Raises:
            ConfigurationError: there is no such set, split or column, numbers don't fit, or a
                remote or compressed set has no cache that can be used.
            RetryableError: a store can't be reached, or a disk is full.
        """
        named = [one if isinstance(one, Source) else Source(one) for one in sources]
        if not named:
            raise ConfigurationError("a loader needs a training set")
        size, seed = whole("batch_size", batch_size), whole("seed", seed)
        block_rows = whole("block_rows", block_rows)
        threads, prefetch = whole("threads", threads), whole("prefetch", prefetch)
        if threads < 1 or prefetch < 0:
            raise ConfigurationError(
                f"{threads} threads that read {prefetch} batches ahead, expected at least one"
                " thread, and no batch or more"
            )
        self._way_back = partial(_way_back, named)
        sets = [
            _mapped(one, wanted)
            for one, wanted in zip(named, _digests(digest, len(named)), strict=True)
        ]
        self._layout = _only_layout(sets)
        self._selection = Selection.of(self._layout, columns)
        splits = [
            Split(tuple(shard.rows for shard in one.manifest.split(name.split)), seed, block_rows)
            for one, name in zip(sets, named, strict=True)
        ]
        try:
            self._batches = Batches(_rows(splits, epoch_rows), size, Last(last))
        except ValueError:
            raise ConfigurationError.unknown("policy for the last batch", str(last), Last) from None
        sequence = _sequence(splits, named, self._batches, seed)
        self._reader = Reader(
            self._layout,
            sequence,
            [
                ReadableSplit(
                    one.manifest.split(name.split),
                    ShardFiles(
                        one.store,
                        name.split,
                        None if cache is None else Path(cache),
                        cache_limit,
                        verify,
                    ),
                )
                for one, name in zip(sets, named, strict=True)
            ],
        )
        self._share, self._is_share_told = Share.of(rank, world_size), rank is not None
        for split in self._reader.splits:
            split.prepare()
        self._prefetch, self._threads, self._cache_limit = prefetch, threads, cache_limit
        self._state = State(
            digests=tuple(one.manifest.digest for one in sets),
            splits=tuple(one.split for one in named),
            order=sequence.described(),
            epoch=0,
            position=0,
        )
        self._is_resumed = False
        most = self.most_rows
        self._raw = Pool(lambda: [np.empty(most, self._layout.dtype)], threads)
        self._arrays = Pool(lambda: [*self._selection.arrays(most).values()], prefetch + 1)

    @property
    def layout(self) -> Layout:
        """Of the sets' rows: which columns there are, and which may be null."""
        return self._layout

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """By part of a batch the names of its columns, but for the mask."""
        return self._selection.columns

    @property
    def selection(self) -> Selection:
        """Which columns batches have."""
        return self._selection

    @property
    def most_rows(self) -> int:
        """How many rows this rank gets of a batch at most."""
        return -(-self._batches.size // self._share.world_size)

    @property
    def epoch(self) -> int:
        """The one that is iterated over, or comes next."""
        return self._state.epoch

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch, from 0, at the next iteration."""
        self._state = replace(self._state, epoch=epoch, position=0)
        self._is_resumed = False

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return self._batches.left(0)

    def __iter__(self) -> Iterator[Batch]:
        """The batches that are left of the epoch; each array is this rank's part of it.

        Raises:
            DamagedShardError: a shard is not what the manifest says.
            RetryableError: a store can't be reached, or a disk is full.
        """
        return self.iterate(self._batch)

    def iterate(self, make: Callable[[Span], ResultT]) -> Iterator[ResultT]:
        """The same with something else made of each batch, ahead of need and by any thread.

        Args:
            make: takes which rows of the epoch this rank gets, for `read`.
        """
        self._require_share()
        if not self._is_resumed:
            self._state = replace(self._state, position=0)
        self._is_resumed = False
        epoch, begin = self._state.epoch, self._state.position
        with Downloads(self._reader, self._cache_limit, epoch, begin) as downloads:
            jobs = self._jobs(make, epoch, begin, downloads)
            made = ahead(jobs, self._prefetch, self._threads)
            stops = (stop for _, stop in self._batches.after(begin))
            for one in made:
                self._state = replace(self._state, position=min(next(stops), self._batches.rows))
                yield one
                # Who has let go of it has its arrays used again for the next one.
                del one
        self._state = replace(self._state, epoch=epoch + 1, position=0)

    def read(self, span: Span, out: Rows) -> None:
        """Gather rows of an epoch, as many as the array has."""
        self._reader.read(span.epoch, span.start, span.stop, out)

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration is: behind the batch that was handed out last, on all ranks alike.

        ``position`` counts rows of the epoch, those of all ranks together, and neither batches nor
        what was read ahead: of one set a loader with batches of another size goes on there too.
        """
        return self._state.described()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on at the next iteration where another loader was, on however many ranks.

        A former set is read by ``Loader(place, digest=state_dict["digests"])``, while it is kept.

        Raises:
            ConfigurationError: it had another set or another order, or is beyond the epoch.
        """
        self._state = self._state.moved_to(state_dict, self._batches.rows, self._way_back)
        self._is_resumed = True

    def _require_share(self) -> None:
        """See that this is still the rank that it was: a process may meet others later."""
        if self._is_share_told or (now := Share.of()) == self._share:
            return
        mine = self._share
        raise ConfigurationError(
            f"a loader of rank {mine.rank} of {mine.world_size} is read by rank {now.rank} of"
            f" {now.world_size}",
            hint="make it when torch.distributed has been initialized (in Lightning in"
            " train_dataloader), or give rank and world_size",
        )

    def _span(self, epoch: int, start: int, stop: int) -> Span:
        low, high = self._share.within(stop - start)
        return Span(epoch, start + low, start + high)

    def _jobs(
        self, make: Callable[[Span], ResultT], epoch: int, begin: int, downloads: Downloads
    ) -> Iterator[Callable[[], ResultT]]:
        """What is to be done for each batch; each is taken right before it is begun."""
        for start, stop in self._batches.after(begin):
            if self._prefetch:
                # Those before that are not read yet are as many as may be read ahead.
                downloads.advance(start - self._prefetch * self._batches.size, stop)
            yield partial(make, self._span(epoch, start, stop))

    def _batch(self, span: Span) -> Batch:
        raw = self._raw.take()[0][: span.rows]
        self.read(span, raw)
        arrays = dict(zip(self._selection.places, self._arrays.take(), strict=True))
        batch = {name: array[: span.rows] for name, array in arrays.items()}
        self._selection.fill(batch, raw)
        return batch


def _digests(named: str | Sequence[str] | None, sources: int) -> Sequence[str | None]:
    """The digest of the set that is read of each source; None for the current one."""
    if named is None:
        return [None] * sources
    found = [named] if isinstance(named, str) else list(named)
    if len(found) != sources:
        raise ConfigurationError(
            f"{len(found)} digests for {sources} sets, expected one each",
            hint="state['digests'] has those of the loader that the state was saved by",
        )
    return found


def _way_back(sources: Sequence[Source], digests: Sequence[str]) -> str:
    """How sets of some digests are read in place of others, where they are still there."""
    if len(digests) != len(sources):
        return f"the state was saved by a loader of {len(digests)} sets: give as many sources"
    gone = []
    for source, digest in zip(sources, digests, strict=True):
        current = StagedSet.open(str(source.place), source.options).manifest
        if digest not in {current.digest, *current.kept}:
            gone.append(f"{source.place} no longer keeps {digest[:12]}: {current.told_kept()}")
    return "; ".join(gone) or "it is still kept: open the loader with digest=state['digests']"


def _mapped(source: Source, digest: str | None) -> StagedSet:
    """A set whose shards can be mapped."""
    found = StagedSet.open(str(source.place), source.options, digest)
    if found.manifest.kind is not Kind.MDS:
        raise ConfigurationError(
            f"the set {source.place} is of the format {found.manifest.kind}, and loaders read"
            f" {Kind.MDS}",
            hint="stage it as that; other formats have readers of their own",
        )
    return found


def _only_layout(sets: Sequence[StagedSet]) -> Layout:
    first = sets[0]
    for one in sets:
        if one.manifest.layout != first.manifest.layout:
            raise ConfigurationError(
                f"{one.store.place} has other columns than {first.store.place}",
                hint="sets that are mixed are staged with the same features and columns",
            )
        if one.manifest.dictionaries != first.manifest.dictionaries:
            raise ConfigurationError(
                f"{one.store.place} has other texts than {first.store.place}: codes of one would"
                " mean something else in the other",
                hint="leave columns of texts out when sets that are mixed are staged",
            )
    return first.manifest.layout


def _rows(splits: Sequence[Split], wanted: int | None) -> int:
    """Of an epoch."""
    if wanted is None:
        return sum(split.rows for split in splits)
    if len(splits) == 1:
        raise ConfigurationError("epoch_rows is for several sets that are mixed")
    rows = whole("epoch_rows", wanted)
    if rows < 1:
        raise ConfigurationError(f"an epoch of {rows} rows, expected at least one")
    return rows


def _sequence(
    splits: Sequence[Split], sources: Sequence[Source], batches: Batches, seed: int
) -> RowSequence:
    if len(splits) == 1:
        return splits[0]
    weights = tuple(source.weight for source in sources)
    return Mixture(tuple(splits), weights, batches.size, batches.handed, seed)
