"""Which events of a chunk are new: neither in the bronze table nor earlier in the chunk.

The table's dedup keys are held as 64-bit hashes, 8 bytes for each row, and only the key column of
files not yet seen is read for them. Equal hashes are suspects, no more: the keys themselves
decide, and are read again for suspects alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pa_ds
from deltalake import DeltaTable

from headrace_batch.ingest.key_hashes import Bools, Hashes, contains, key_hashes
from headrace_batch.warehouse import dataset_of

_BATCH_ROWS = 131_072
# More sorted runs make a look-up slow, fewer make an addition slow.
_MOST_RUNS = 12


@dataclass(frozen=True, slots=True)
class NewKeys:
    """Which keys of a chunk are new, and the hashes of those."""

    at: Bools
    hashes: Hashes


NO_KEYS = NewKeys(np.empty(0, np.bool_), np.empty(0, np.uint64))


class KnownKeys:
    """The dedup keys of one bronze table, as far as it has been looked at.

    Follows a table that others write to as well: ask with each new version of it.
    """

    def __init__(self, key: str) -> None:
        """Know nothing yet; `key` is the name of the dedup key's column."""
        self._key = key
        self._files: set[str] = set()
        self._runs: list[Hashes] = []

    def new(self, table: DeltaTable, keys: pa.Array) -> NewKeys:
        """Which of some keys the table does not have, each at its first place."""
        dataset = dataset_of(table)
        self._learn(dataset)
        hashes = key_hashes(keys)
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        fresh = np.ones(len(keys), np.bool_)
        self._strike_repeated(keys, order, ordered, fresh)
        self._strike_known(dataset, keys, order, ordered, fresh)
        return NewKeys(fresh, hashes[fresh])

    def added(self, table: DeltaTable, keys: NewKeys) -> None:
        """Learn keys that were just committed, with the table as of that commit."""
        self._files.update(_fragments(dataset_of(table)))
        self._add(keys.hashes)

    def _learn(self, dataset: pa_ds.Dataset) -> None:
        """Read the keys of the files that are new since the last look."""
        fragments = _fragments(dataset)
        new = [fragment for path, fragment in fragments.items() if path not in self._files]
        if not new:
            return
        part = pa_ds.FileSystemDataset(new, dataset.schema, dataset.format, dataset.filesystem)
        read = [key_hashes(batch.column(0)) for batch in self._scan(part)]
        self._add(np.concatenate([np.empty(0, np.uint64), *read]))
        self._files.update(fragments)

    def _add(self, hashes: Hashes) -> None:
        self._runs.append(np.sort(hashes))
        if len(self._runs) > _MOST_RUNS:
            # Runs that are sorted already merge in linear time.
            self._runs = [np.sort(np.concatenate(self._runs), kind="stable")]

    @staticmethod
    def _strike_repeated(
        keys: pa.Array, order: npt.NDArray[np.intp], ordered: Hashes, fresh: Bools
    ) -> None:
        """Strike out keys that stand earlier in the same chunk."""
        same = ordered[1:] == ordered[:-1]
        if not same.any():
            return
        suspect = np.zeros(len(ordered), np.bool_)
        suspect[1:] |= same
        suspect[:-1] |= same
        places = np.sort(order[suspect])
        codes = pc.dictionary_encode(keys.take(pa.array(places))).indices.to_numpy()
        _, first = np.unique(codes, return_index=True)
        fresh[places] = False
        fresh[places[first]] = True

    def _strike_known(
        self,
        dataset: pa_ds.Dataset,
        keys: pa.Array,
        order: npt.NDArray[np.intp],
        ordered: Hashes,
        fresh: Bools,
    ) -> None:
        """Strike out keys that are in the table."""
        hit = np.zeros(len(ordered), np.bool_)
        for run in self._runs:
            hit |= contains(run, ordered)
        if not hit.any():
            return
        suspects = ordered[hit]
        found = [
            batch.column(0).filter(pa.array(contains(suspects, key_hashes(batch.column(0)))))
            for batch in self._scan(dataset)
        ]
        known = pa.chunked_array(found, pa.string())
        places = order[hit]
        again = pc.is_in(keys.take(pa.array(places)), value_set=known)
        fresh[places[again.to_numpy(zero_copy_only=False)]] = False

    def _scan(self, dataset: pa_ds.Dataset) -> pa.RecordBatchReader:
        """The key column, a few batches ahead and no more."""
        return dataset.scanner(
            columns=[self._key], batch_size=_BATCH_ROWS, batch_readahead=4, fragment_readahead=2
        ).to_reader()


def _fragments(dataset: pa_ds.Dataset) -> dict[str, pa_ds.Fragment]:
    return {fragment.path: fragment for fragment in dataset.get_fragments()}
