"""Several sets mixed by weights, each through its own epochs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import pytest

from headrace_schemas.errors import ConfigurationError
from headrace_shards import Loader, Source
from training_sets import written

FIRST, SECOND, THIRD = 200, 37, 90


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    """Three sets with numbers of their own, a thousand apart."""
    for number, sizes in enumerate(([FIRST], [30, SECOND - 30], [50, THIRD - 50])):
        written(tmp_path / str(number), {"train": sizes}, first=1000 * number)
    weights = (0.5, 0.3, 0.2)
    return [Source(tmp_path / str(n), weight=weight) for n, weight in enumerate(weights)]


def of_epochs(loader: Loader, epochs: int) -> list[list[int]]:
    return [batch["ids"][:, 0].tolist() for _ in range(epochs) for batch in loader]


def test_each_set_has_its_share_and_goes_through_its_own_epochs(sources: list[Source]) -> None:
    loader = Loader(*sources, batch_size=20, block_rows=16, epoch_rows=400)
    batches = of_epochs(loader, 3)
    assert len(batches) == 60
    for batch in batches:
        assert Counter(row // 1000 for row in batch) == {0: 10, 1: 6, 2: 4}
    for number, rows in ((0, FIRST), (1, SECOND), (2, THIRD)):
        mine = [row - 1000 * number for batch in batches for row in batch if row // 1000 == number]
        for begin in range(0, len(mine), rows):
            epoch = mine[begin : begin + rows]
            # The rows of a batch are mixed: at its ends there may be some of two epochs.
            inner = epoch[20:-20]
            assert len(set(inner)) == len(inner)
        assert set(mine) == set(range(rows))
        counts = Counter(mine)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_shares_that_are_no_whole_rows_are_kept_over_steps(sources: list[Source]) -> None:
    batches = of_epochs(Loader(*sources, batch_size=7, epoch_rows=700), 1)
    total = Counter(row // 1000 for batch in batches for row in batch)
    assert total == {0: 350, 1: 210, 2: 140}


@pytest.mark.parametrize("last", ["drop", "short", "pad"])
def test_what_an_epoch_has_besides_whole_batches_skips_and_repeats_nothing(
    tmp_path: Path, last: str
) -> None:
    for number in range(2):
        written(tmp_path / str(number), {"train": [60, 40]}, first=1000 * number)
    sources = [Source(tmp_path / str(number), weight=0.5) for number in range(2)]
    loader = Loader(*sources, batch_size=64, block_rows=16, last=last)
    batches = of_epochs(loader, 6)
    for batch in batches:
        of_first = sum(row < 1000 for row in batch)
        assert abs(of_first - len(batch) / 2) <= 1
    handed = chain.from_iterable(batches)
    if last == "pad":
        # What fills a batch up are rows of the epoch that come twice.
        handed = chain.from_iterable(
            batch[:8] if n % 4 == 3 else batch for n, batch in enumerate(batches)
        )
    counts = Counter(handed)
    assert len(counts) == 200
    assert max(counts.values()) - min(counts.values()) <= (1 if last == "drop" else 0)


def test_batches_of_fewer_rows_than_there_are_sets_have_their_shares_over_steps(
    sources: list[Source],
) -> None:
    batches = of_epochs(Loader(*sources, batch_size=2, block_rows=16, epoch_rows=400), 3)
    handed: Counter[int] = Counter()
    for number, batch in enumerate(batches, 1):
        handed.update(row // 1000 for row in batch)
        for place, weight in enumerate((0.5, 0.3, 0.2)):
            assert abs(handed[place] - 2 * number * weight) < 2
    for place, rows in ((0, FIRST), (1, SECOND), (2, THIRD)):
        counts = Counter(row for batch in batches for row in batch if row // 1000 == place)
        assert len(counts) == rows
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(
    ("wanted", "said"),
    [(0, "an epoch of 0 rows"), (-5, "an epoch of -5 rows"), (2.5, "epoch_rows is 2.5, expected")],
)
def test_an_epoch_of_no_rows_is_refused(sources: list[Source], wanted: int, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Loader(*sources, batch_size=20, epoch_rows=wanted)


def test_a_set_without_rows_is_not_mixed(sources: list[Source], tmp_path: Path) -> None:
    written(tmp_path / "none", {"train": [0]})
    mixed = [replace(sources[0], weight=0.5), Source(tmp_path / "none", weight=0.5)]
    with pytest.raises(ConfigurationError, match="have 200, 0 rows, expected some of each"):
        Loader(*mixed, batch_size=20)


def test_ranks_and_resumption_change_nothing(sources: list[Source]) -> None:
    def loader(rank: int, world_size: int) -> Loader:
        return Loader(
            *sources, batch_size=21, block_rows=16, epoch_rows=300, last="short",
            rank=rank, world_size=world_size,
        )  # fmt: skip

    whole = of_epochs(loader(0, 1), 2)
    ranks = [of_epochs(loader(rank, 3), 2) for rank in range(3)]
    assert [list(chain.from_iterable(parts)) for parts in zip(*ranks, strict=True)] == whole
    one = loader(0, 1)
    begun = [batch["ids"][:, 0].tolist() for batch in islice(one, 8)]
    other = loader(0, 1)
    other.load_state_dict(one.state_dict())
    assert begun + of_epochs(other, 2) == whole


def test_weights_that_are_no_shares_are_refused(sources: list[Source]) -> None:
    with pytest.raises(ConfigurationError, match="are no shares"):
        Loader(sources[0], sources[1], batch_size=20)
    # The default is for one source.
    alone = [replace(one, weight=1.0) for one in sources[:2]]
    with pytest.raises(ConfigurationError, match=r"\(1\.0, 1\.0\) are no shares .*sum to 1"):
        Loader(*alone, batch_size=20)
    assert len(Loader(alone[0], batch_size=20)) == FIRST // 20


def test_sets_whose_codes_mean_other_texts_are_not_mixed(tmp_path: Path) -> None:
    one = written(tmp_path / "one", {"train": [40]})
    written(tmp_path / "other", {"train": [40]}, first=40)
    other = replace(one, dictionaries={"country": ("CH", "DE", "FR")})
    assert other.digest != one.digest
    (tmp_path / "one/manifest.json").write_bytes(other.encoded())
    with pytest.raises(ConfigurationError, match="has other texts than"):
        Loader(Source(tmp_path / "one"), Source(tmp_path / "other"), batch_size=8)
