"""A loader has every row of an epoch once, and goes on anywhere on any number of ranks."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_schemas.errors import ConfigurationError
from headrace_shards import Batch, Last, Loader, Source
from headrace_shards.layout import Layout, Part
from training_sets import LAYOUT, rows_from, written

SIZES = [50, 1, 0, 77, 30, 200, 13]
ROWS = sum(SIZES)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A set with a split for training and another one."""
    written(tmp_path / "set", {"train": SIZES, "valid": [10]})
    return tmp_path / "set"


def numbers(batch: Batch) -> list[int]:
    found: list[int] = batch["ids"][:, 0].tolist()
    return found


def epoch_of(loader: Loader) -> list[list[int]]:
    return [numbers(batch) for batch in loader]


def test_an_epoch_has_every_row_once_with_all_that_it_holds(place: Path) -> None:
    expected = rows_from(0, ROWS)
    seen: list[int] = []
    for batch in Loader(place, batch_size=32, block_rows=64, last="short"):
        found = batch["ids"][:, 0]
        seen += found.tolist()
        for part in LAYOUT.all_parts:
            assert np.array_equal(batch[part.name], expected[part.name][found]), part.name
            assert batch[part.name].flags.c_contiguous
    assert sorted(seen) == list(range(ROWS))


def test_nulls_are_told_by_the_mask(place: Path) -> None:
    loader = Loader(place, batch_size=ROWS, block_rows=0)
    (batch,) = loader
    rows = batch["ids"][:, 0]
    assert np.array_equal(loader.layout.nulls(batch["mask"], "b"), rows % 3 == 0)
    assert not loader.layout.nulls(batch["mask"], "c").any()
    assert not loader.layout.nulls(batch["mask"], "a").any()
    with pytest.raises(ConfigurationError, match="unknown column of the training set 'd'"):
        loader.layout.nulls(batch["mask"], "d")


def test_the_lowest_bit_of_the_first_byte_of_a_mask_is_that_of_the_first_column() -> None:
    names = tuple(f"c{number}" for number in range(19))
    layout = Layout((Part("x", "float32", names),), nullable=names)
    mask = np.frombuffer(np.random.default_rng(1).bytes(50 * 4), np.uint8).reshape(50, 4)
    assert layout.part("mask").size == mask.shape[1]
    # What the README says, and what who has numpy alone would write.
    bits = np.unpackbits(mask, axis=1, bitorder="little")
    for number, name in enumerate(names):
        expected = (mask[:, number // 8] >> (number % 8)) & 1 == 1
        assert np.array_equal(layout.nulls(mask, name), expected)
        assert np.array_equal(bits[:, number] == 1, expected)


def test_epochs_are_in_orders_of_their_own_and_the_same_for_everyone(place: Path) -> None:
    loader = Loader(place, batch_size=32, block_rows=64)
    first, second = epoch_of(loader), epoch_of(loader)
    assert first != second
    again = Loader(place, batch_size=32, block_rows=64, prefetch=0)
    assert [epoch_of(again), epoch_of(again)] == [first, second]
    again.set_epoch(1)
    assert epoch_of(again) == second
    assert epoch_of(Loader(place, batch_size=32, block_rows=64, seed=1)) != first


def test_seeds_of_64_bits_are_told_apart_by_their_last_one(place: Path) -> None:
    largest = 2**64 - 1
    orders = {
        tuple(
            np.concatenate([batch["ids"][:, 0] for batch in Loader(place, batch_size=8, seed=seed)])
        )
        for seed in (largest, largest - 1, 2**63, 2**63 + 1)
    }
    assert len(orders) == 4


def test_rows_stay_in_their_order_where_none_are_permuted(place: Path) -> None:
    found = epoch_of(Loader(place, batch_size=100, block_rows=0, last="short"))
    assert [one for batch in found for one in batch] == list(range(ROWS))


@pytest.mark.parametrize(("last", "batches"), [("drop", 11), ("short", 12), ("pad", 12)])
def test_rows_that_fill_no_batch_are_left_out_or_come_short_or_filled_up(
    last: str, batches: int, place: Path
) -> None:
    loader = Loader(place, batch_size=32, block_rows=64, last=last)
    assert len(loader) == batches
    found = epoch_of(loader)
    assert len(found) == batches
    flat = [one for batch in found for one in batch]
    assert len(flat) == {"drop": 352, "short": ROWS, "pad": 384}[last]
    assert flat[ROWS:] == flat[: max(len(flat) - ROWS, 0)]


def test_several_ranks_have_one_batch_together(place: Path) -> None:
    whole = epoch_of(Loader(place, batch_size=32, block_rows=64, last=Last.SHORT))
    for world in (2, 3, 5):
        ranks = [
            epoch_of(
                Loader(
                    place, batch_size=32, block_rows=64, last="short", rank=rank, world_size=world
                )
            )
            for rank in range(world)
        ]
        assert [list(chain.from_iterable(parts)) for parts in zip(*ranks, strict=True)] == whole


def test_ranks_are_those_that_torchrun_sets(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = epoch_of(Loader(place, batch_size=32, rank=1, world_size=4))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert epoch_of(Loader(place, batch_size=32)) == expected
    made = Loader(place, batch_size=32)
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(ConfigurationError, match="RANK=one and WORLD_SIZE=4"):
        Loader(place, batch_size=32)
    # As a launcher has it that tells ranks by torch.distributed alone: all would be the first.
    monkeypatch.delenv("RANK")
    with pytest.raises(ConfigurationError, match=r"^WORLD_SIZE=4 in the environment, expected"):
        Loader(place, batch_size=32)
    told = Loader(place, batch_size=32, rank=1, world_size=4)
    monkeypatch.delenv("WORLD_SIZE")
    with pytest.raises(
        ConfigurationError, match=r"a loader of rank 1 of 4 is read by rank 0 of 1 .*train_data"
    ):
        next(iter(made))
    assert epoch_of(told) == expected


def test_global_batches_are_the_same_whatever_ranks_come_and_go(place: Path) -> None:
    """From 8 ranks to 3 to 5 and so on, stopped at random steps, over several epochs."""
    options: dict[str, Any] = {"batch_size": 30, "block_rows": 64, "last": "short", "seed": 9}
    whole = Loader(place, **options)
    expected = [batch for _ in range(4) for batch in epoch_of(whole)]
    chance = random.Random(5)
    state = Loader(place, **options).state_dict()
    found: list[list[int]] = []
    while len(found) < len(expected):
        world = chance.choice([8, 3, 5, 1])
        ranks = [
            Loader(place, rank=rank, world_size=world, prefetch=chance.randrange(4), **options)
            for rank in range(world)
        ]
        for one in ranks:
            one.load_state_dict(state)
        steps = chance.randrange(1, 9)
        parts = [[numbers(batch) for batch in islice(one, steps)] for one in ranks]
        found += [list(chain.from_iterable(together)) for together in zip(*parts, strict=True)]
        states = [one.state_dict() for one in ranks]
        assert all(one == states[0] for one in states)
        state = states[0]
    assert found[: len(expected)] == expected


def test_what_was_read_ahead_is_not_counted(place: Path) -> None:
    loader = Loader(place, batch_size=32, prefetch=6)
    next(iter(loader))
    assert loader.state_dict()["position"] == 32


def test_an_iteration_that_was_broken_off_begins_anew_unless_it_is_resumed(place: Path) -> None:
    loader = Loader(place, batch_size=32)
    first = epoch_of(loader)
    loader.set_epoch(0)
    assert [numbers(batch) for batch in islice(loader, 3)] == first[:3]
    state = loader.state_dict()
    assert numbers(next(iter(loader))) == first[0]
    loader.load_state_dict(state)
    assert epoch_of(loader) == first[3:]
    assert loader.epoch == 1


def test_a_state_of_another_set_or_order_is_refused(place: Path, tmp_path: Path) -> None:
    state = Loader(place, batch_size=32).state_dict()
    written(tmp_path / "other", {"train": SIZES}, first=1)
    for loader, said in (
        (Loader(tmp_path / "other", batch_size=32), "another training set"),
        (Loader(Source(place, "valid"), batch_size=5), "another split"),
        (Loader(place, batch_size=32, seed=1), "another order"),
        (Loader(place, batch_size=32, block_rows=8), "another order"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            loader.load_state_dict(state)
    with pytest.raises(ConfigurationError, match="no state of a loader"):
        Loader(place, batch_size=32).load_state_dict({"epoch": 1})
    with pytest.raises(ConfigurationError, match="format 2"):
        Loader(place, batch_size=32).load_state_dict({**state, "format": 2})


def test_a_state_beyond_the_epoch_is_refused_and_one_at_its_end_is_not(place: Path) -> None:
    loader = Loader(place, batch_size=32, last="short")
    state = loader.state_dict()
    for position in (ROWS + 1, 10**9):
        with pytest.raises(
            ConfigurationError, match=f"at position {position:,}, and an epoch has {ROWS} rows"
        ):
            loader.load_state_dict({**state, "position": position})
    assert loader.state_dict() == state
    at_end = Loader(place, batch_size=32, last="short")
    list(islice(at_end, len(at_end)))
    assert at_end.state_dict()["position"] == ROWS
    loader.load_state_dict(at_end.state_dict())
    assert epoch_of(loader) == []
    assert loader.epoch == 1


def test_a_position_counts_rows_whatever_the_size_of_batches_and_the_number_of_ranks(
    place: Path,
) -> None:
    one = Loader(place, batch_size=32, block_rows=64)
    two = Loader(place, batch_size=16, block_rows=64, rank=1, world_size=2)
    list(islice(one, 3))
    list(islice(two, 6))
    assert one.state_dict() == two.state_dict()
    assert one.state_dict()["position"] == 96


@pytest.mark.parametrize("name", ["batch_size", "block_rows", "prefetch", "seed", "threads"])
def test_numbers_are_whole_and_kept_as_those_of_python(place: Path, name: str) -> None:
    both = (Source(place, weight=0.5), Source(place, "valid", weight=0.5))
    for number in (2.5, 8.0, "8", None, True, False, np.bool_(True)):  # noqa: FBT003 - cases
        for sources in ((place,), both):
            with pytest.raises(
                ConfigurationError,
                match=rf"{name} is {re.escape(repr(number))}, expected a whole number",
            ):
                Loader(*sources, **{"batch_size": 32, name: number})  # type: ignore[arg-type] # as some would give it
    options = {"batch_size": 32, "block_rows": 64}
    one = Loader(place, **{**options, name: np.int64(32)})  # type: ignore[arg-type] # likewise
    other = Loader(place, **{**options, name: 32})  # type: ignore[arg-type] # likewise
    assert json.dumps(one.state_dict()) == json.dumps(other.state_dict())
    assert epoch_of(one) == epoch_of(other)


def test_a_training_goes_on_with_its_set_after_others_took_its_place(tmp_path: Path) -> None:
    place = tmp_path / "set"
    options: dict[str, Any] = {"batch_size": 32, "block_rows": 64}
    first = written(place, {"train": SIZES})
    expected = epoch_of(Loader(place, **options))
    began = Loader(place, **options)
    list(islice(began, 4))
    state = began.state_dict()
    second = written(place, {"train": SIZES}, first=1_000, former=first)
    written(place, {"train": SIZES}, first=2_000, former=second)
    with pytest.raises(
        ConfigurationError, match=r"still kept: open the loader with digest=state\['digests'\]"
    ):
        Loader(place, **options).load_state_dict(state)
    resumed = Loader(place, digest=state["digests"], **options)
    resumed.load_state_dict(state)
    assert epoch_of(resumed) == expected[4:]
    assert epoch_of(Loader(place, digest=second.digest[:8], **options)) != expected


def test_which_sets_are_kept_is_said_where_one_is_gone(tmp_path: Path) -> None:
    place = tmp_path / "set"
    first = written(place, {"train": SIZES})
    state = Loader(place, batch_size=32).state_dict()
    second = written(place, {"train": SIZES}, first=1_000, former=replace(first, set_id="again"))
    third = written(place, {"train": SIZES}, first=2_000, former=replace(second, kept=()))
    told = rf"the current one is {third.digest[:12]}; former ones that are kept: "
    told += second.digest[:12]
    with pytest.raises(ConfigurationError, match=rf"no longer keeps {first.digest[:12]}: {told}"):
        Loader(place, batch_size=32).load_state_dict(state)
    with pytest.raises(ConfigurationError, match=rf"no set is there any more .*{told}"):
        Loader(place, batch_size=32, digest=first.digest)
    with pytest.raises(ConfigurationError, match="no set is there any more that is called ''"):
        Loader(place, batch_size=32, digest="")


def test_sets_that_are_mixed_are_each_opened_by_a_digest_of_their_own(tmp_path: Path) -> None:
    first = written(tmp_path / "one", {"train": SIZES})
    other = written(tmp_path / "other", {"train": SIZES}, first=500)
    sources = [Source(tmp_path / name, weight=0.5) for name in ("one", "other")]
    state = Loader(*sources, batch_size=32).state_dict()
    written(tmp_path / "one", {"train": SIZES}, first=1_000, former=first)
    loader = Loader(*sources, batch_size=32, digest=state["digests"])
    loader.load_state_dict(state)
    assert loader.state_dict()["digests"] == [first.digest, other.digest]
    with pytest.raises(ConfigurationError, match="1 digests for 2 sets, expected one each"):
        Loader(*sources, batch_size=32, digest=first.digest)
    with pytest.raises(ConfigurationError, match="saved by a loader of 2 sets"):
        Loader(tmp_path / "one", batch_size=32).load_state_dict(state)


def test_some_columns_come_in_the_order_in_which_they_are_asked_for(place: Path) -> None:
    loader = Loader(place, batch_size=40, block_rows=0, columns=["c", "label", "a", "row"])
    assert loader.columns == {"ids": ("row",), "x": ("c", "a"), "y": ("label",)}
    batch = next(iter(loader))
    assert set(batch) == {"ids", "x", "y", "mask"}
    expected = rows_from(0, 40)
    assert np.array_equal(batch["x"], expected["x"][:, [2, 0]])
    assert np.array_equal(batch["y"], expected["y"])
    without = next(iter(Loader(place, batch_size=40, columns=["a"])))
    assert set(without) == {"x"}
    with pytest.raises(ConfigurationError, match="unknown column of the training set 'd'"):
        Loader(place, batch_size=40, columns=["d"])
    with pytest.raises(ConfigurationError, match="no column"):
        Loader(place, batch_size=40, columns=[])


def test_a_batch_that_somebody_keeps_stays_as_it_is(place: Path) -> None:
    kept = [batch["x"][:3, 0] for batch in Loader(place, batch_size=8, last="short")]
    rows = [batch["ids"][:3, 0] for batch in Loader(place, batch_size=8, last="short")]
    assert all(np.array_equal(x, row * 0.5) for x, row in zip(kept, rows, strict=True))


def test_arrays_are_used_again_once_nobody_holds_them(place: Path) -> None:
    places = set()
    for batch in Loader(place, batch_size=8, prefetch=2):
        places.add(batch["x"].ctypes.data)
        del batch
    assert len(places) <= 4


def test_what_does_not_fit_is_refused(place: Path, tmp_path: Path) -> None:
    for options, said in (
        ({"batch_size": 0}, "a batch of 0 rows"),
        ({"batch_size": -8}, "a batch of -8 rows"),
        ({"batch_size": ROWS + 1}, "make no batch"),
        ({"batch_size": 8, "last": "twice"}, "unknown policy for the last batch 'twice'"),
        ({"batch_size": 8, "rank": 1}, "go together"),
        ({"batch_size": 8, "rank": 3, "world_size": 3}, "rank 3 of 3"),
        ({"batch_size": 8, "epoch_rows": 3}, "several sets"),
        ({"batch_size": 8, "threads": 0}, "0 threads that read 4 batches ahead"),
        ({"batch_size": 8, "prefetch": -1}, "1 threads that read -1 batches ahead"),
        ({"batch_size": 8, "block_rows": -1}, "blocks of -1 rows"),
        ({"batch_size": 8, "seed": -1}, "the seed -1, expected"),
        ({"batch_size": 8, "seed": 2**64}, f"the seed {2**64}, expected"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            Loader(place, **options)
    with pytest.raises(ConfigurationError, match="unknown split 'test'"):
        Loader(Source(place, "test"), batch_size=8)
    with pytest.raises(ConfigurationError, match="there is no training set at"):
        Loader(tmp_path / "none", batch_size=8)
    with pytest.raises(ConfigurationError, match="needs a training set"):
        Loader(batch_size=8)


@pytest.mark.parametrize(("options", "depth"), [({}, 4), ({"prefetch": 8, "threads": 4}, 8)])
def test_memory_is_at_most_twice_the_batches_that_are_read_ahead(
    options: dict[str, Any], depth: int, tmp_path: Path
) -> None:
    written(tmp_path / "large", {"train": [200_000, 200_000]})
    size = 32_768
    tracemalloc.start()
    try:
        for batch in Loader(tmp_path / "large", batch_size=size, block_rows=4_096, **options):
            del batch
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most <= 2 * depth * size * LAYOUT.dtype.itemsize
