"""Shards that come next are fetched before a batch needs them, within the folder's limit."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from headrace_schemas.errors import RetryableError
from headrace_shards import DamagedShardError, Loader, Source, StagedSet
from headrace_shards.order import Order
from headrace_shards.sequence import Mixture, RowSequence, Split
from headrace_shards.store import ATTEMPTS
from shard_server import Server, bytes_in
from training_sets import written

#: Each block is the rows of a shard of the set.
BLOCK = 40
ALL = {f"shard.{number:05}.mds" for number in range(4)}


def loader(server: Server, cache: Path, **options: Any) -> Loader:
    return Loader(server.url, batch_size=8, block_rows=BLOCK, cache=cache, **options)


def in_order(server: Server) -> list[str]:
    """The shards in the order in which the first epoch needs them."""
    shards = StagedSet.open(server.url).manifest.split("train")
    order = Order(tuple(one.rows for one in shards), 0, 0, BLOCK)
    return [shards[number].raw.name for number in order.shards]


def asked(server: Server) -> Counter[str]:
    return Counter(path.rpartition("/")[2] for path in server.got if path.endswith(".mds"))


def rows(batches: Iterator[dict[str, Any]]) -> list[list[int]]:
    return [batch["ids"][:, 0].tolist() for batch in batches]


def size_of(server: Server) -> int:
    return StagedSet.open(server.url).manifest.split("train")[0].raw.size


def test_shards_of_later_blocks_come_while_the_first_batch_is_used(
    server: Server, tmp_path: Path
) -> None:
    batches = iter(loader(server, tmp_path / "cache"))
    next(batches)
    assert server.next_shards(4) == ALL
    expected = rows(iter(Loader(tmp_path / "remote", batch_size=8, block_rows=BLOCK)))[1:]
    assert rows(batches) == expected
    assert asked(server) == dict.fromkeys(ALL, 1)


def test_nothing_is_fetched_ahead_where_nothing_is_read_ahead(
    server: Server, tmp_path: Path
) -> None:
    batches = iter(loader(server, tmp_path / "cache", prefetch=0))
    for number, _ in enumerate(batches):
        assert len(asked(server)) == number // 5 + 1


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_no_more_comes_than_the_folder_may_hold_and_each_shard_once(
    shards: int, server: Server, tmp_path: Path
) -> None:
    limit = shards * size_of(server)
    order = in_order(server)
    batches = iter(loader(server, tmp_path / "cache", cache_limit=limit, prefetch=1))
    next(batches)
    assert server.next_shards(shards) == set(order[:shards])
    for number, _ in enumerate(batches, start=1):
        assert bytes_in(tmp_path / "cache") <= limit
        # Those of the blocks that are read, of one batch ahead among them, and what fits besides.
        assert len(asked(server)) <= max((number + 1) // 5 + 1, number // 5 + shards)
    assert asked(server) == dict.fromkeys(ALL, 1)


def test_a_batch_waits_for_no_shard_but_its_own(server: Server, tmp_path: Path) -> None:
    last = in_order(server)[-1]
    server.held.add(last)
    batches = iter(loader(server, tmp_path / "cache", prefetch=1))
    first = rows(islice(batches, 14))
    assert server.next_shards(4) == ALL
    server.free.set()
    expected = rows(iter(Loader(tmp_path / "remote", batch_size=8, block_rows=BLOCK)))
    assert first + rows(batches) == expected


def test_a_shard_that_could_not_be_fetched_ahead_is_fetched_by_its_batch(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_shards.store._PAUSE_S", 0.0)
    second = in_order(server)[1]
    server.refused_of[second] = ATTEMPTS
    found = rows(iter(loader(server, tmp_path / "cache", prefetch=1)))
    assert found == rows(iter(Loader(tmp_path / "remote", batch_size=8, block_rows=BLOCK)))
    assert asked(server)[second] == ATTEMPTS + 1


def test_an_error_of_a_shard_that_is_fetched_ahead_comes_with_the_batch_that_needs_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_shards.store._PAUSE_S", 0.0)
    third, fourth = in_order(server)[2:]
    server.refused_of[third] = 1_000
    batches = iter(loader(server, tmp_path / "cache", prefetch=1))
    assert len(rows(islice(batches, 10))) == 10
    with pytest.raises(RetryableError, match=f"{third} could not be read {ATTEMPTS} times"):
        next(batches)
    damaged = tmp_path / "remote/train" / fourth
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    server.refused_of.clear()
    batches = iter(loader(server, tmp_path / "other", prefetch=1))
    assert len(rows(islice(batches, 15))) == 15
    with pytest.raises(DamagedShardError, match=fourth):
        next(batches)


def test_an_iteration_that_is_left_early_leaves_no_thread(server: Server, tmp_path: Path) -> None:
    server.held.add(in_order(server)[-1])
    batches = iter(loader(server, tmp_path / "cache"))
    next(batches)
    server.next_shards(3)
    server.free.set()
    del batches
    ours = [one.name for one in threading.enumerate() if one.name.startswith("headrace")]
    assert not ours


def test_a_set_that_is_resumed_fetches_what_is_left(server: Server, tmp_path: Path) -> None:
    first = loader(server, tmp_path / "cache")
    list(islice(first, 12))
    second = loader(server, tmp_path / "other")
    second.load_state_dict(first.state_dict())
    server.got.clear()
    list(second)
    assert set(asked(server)) == set(in_order(server)[2:])


def test_mixed_sets_are_fetched_ahead_in_the_order_in_which_they_are_needed(
    server: Server, tmp_path: Path
) -> None:
    written(tmp_path / "local", {"train": [30, 30]}, first=1_000)

    def mixed(place: str | Path, **options: Any) -> Loader:
        sources = (Source(place, weight=0.75), Source(tmp_path / "local", weight=0.25))
        return Loader(*sources, batch_size=8, block_rows=BLOCK, **options)

    batches = iter(mixed(server.url, cache=tmp_path / "cache"))
    found = rows(islice(batches, 1))
    assert server.next_shards(4) == ALL
    assert found + rows(batches) == rows(iter(mixed(tmp_path / "remote")))
    assert asked(server) == dict.fromkeys(ALL, 1)


SPLIT = Split((50, 1, 0, 77, 30, 200, 13), seed=3, block_rows=64)
SEQUENCES: list[RowSequence] = [
    SPLIT,
    Split(SPLIT.shard_rows, block_rows=0),
    Mixture(
        (SPLIT, Split((30, 7), block_rows=8), Split((5, 5, 5), block_rows=0)),
        (0.6, 0.39, 0.01),
        size=20,
        rows=500,
    ),
]


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("epoch", [0, 2])
def test_what_is_needed_is_foretold_from_any_position(epoch: int, sequence: RowSequence) -> None:
    for start in (0, 1, 63, 64, 130, sequence.rows - 5):
        foretold = list(sequence.needed(epoch, start))
        begins = [one.use.begin for one in foretold]
        assert begins == sorted(begins)
        for position in range(start, sequence.rows):
            wanted = {
                (split, piece.shard)
                for split, piece in sequence.wanted(epoch, position, position + 1)
            }
            told = {
                (one.split, one.use.shard)
                for one in foretold
                if one.use.begin <= position < one.use.end
            }
            assert wanted <= told
        # And nothing that isn't.
        all_wanted = {
            (split, piece.shard) for split, piece in sequence.wanted(epoch, 0, sequence.rows)
        }
        assert {(one.split, one.use.shard) for one in foretold} <= all_wanted
