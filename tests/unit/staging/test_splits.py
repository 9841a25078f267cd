"""Which split a row is in, and where, follows from the row and the rule alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headrace_batch.staging.splits import SPLITS, SplitRule, in_order, places, shard_of
from headrace_schemas.errors import ConfigurationError


def named(rule: SplitRule, times: list[int], entities: list[str] | None = None) -> list[str]:
    found = rule.numbers(
        np.array(times), None if entities is None else pa.array(entities, pa.string())
    )
    return [SPLITS[number] for number in found]


def test_rows_are_divided_by_time() -> None:
    rule = SplitRule(valid_from=10, test_from=20)
    assert named(rule, [0, 9, 10, 19, 20, 99]) == ["train"] * 2 + ["valid"] * 2 + ["test"] * 2
    assert named(SplitRule(), [0, 99]) == ["train", "train"]
    assert named(SplitRule(test_from=10), [9, 10]) == ["train", "test"]


def test_tests_before_validation_are_refused_with_both_times() -> None:
    day_ms = 86_400_000
    with pytest.raises(
        ConfigurationError, match=r"begin at 1970-01-02 00:00 UTC, .* validation, at 1970-01-03 00:"
    ) as caught:
        SplitRule(valid_from=2 * day_ms, test_from=day_ms)
    assert "--test-from" in str(caught.value)


def test_splits_are_told_in_one_order_whatever_that_of_a_file_is() -> None:
    assert list(in_order({"holdout": 1, "test": 2, "train": 3, "valid": 4})) == list(SPLITS)
    assert in_order({"test": 2, "train": 3}) == {"train": 3, "test": 2}


def test_all_rows_of_an_entity_are_held_out_or_none() -> None:
    entities = [f"card-{number}" for number in range(4_000)]
    rule = SplitRule(valid_from=10, holdout=0.25, entity="card_id", seed=3)
    early, late = named(rule, [0] * 4_000, entities), named(rule, [10] * 4_000, entities)
    held = [one == "holdout" for one in early]
    assert held == [one == "holdout" for one in late]
    assert sum(held) == pytest.approx(1_000, abs=100)
    assert set(early) == {"train", "holdout"}
    assert set(late) == {"valid", "holdout"}
    other = named(SplitRule(holdout=0.25, entity="card_id", seed=4), [0] * 4_000, entities)
    assert [one == "holdout" for one in other] != held


def test_every_row_has_a_place_of_its_own_that_looks_random() -> None:
    rows = np.arange(200_000)
    found = places(rows, 1)
    assert len(np.unique(found)) == len(rows)
    assert not np.array_equal(found, places(rows, 2))
    assert np.array_equal(found[500:600], places(rows[500:600], 1))
    shards = shard_of(found, 7)
    assert set(shards.tolist()) == set(range(7))
    assert np.bincount(shards).std() < 300
    # Shards follow each other in the order of places.
    assert np.all(np.diff(shards[np.argsort(found)]) >= 0)


def test_rules_that_make_no_sense_are_refused() -> None:
    for options, said in (
        ({"valid_from": 9, "test_from": 8}, "for tests begin at .*, before those for validation"),
        ({"holdout": 1.0, "entity": "card_id"}, "a share from 0 to below 1"),
        ({"holdout": 0.1}, "the column of theirs has to be named"),
        ({"seed": -1}, "the seed -1"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            SplitRule(**options)


def test_a_row_without_an_entity_is_held_out_or_not_whatever_stands_beside_it() -> None:
    rule = SplitRule(holdout=0.5, entity="user", seed=1)
    times = np.zeros(3, np.int64)
    found = {
        int(rule.numbers(times, pa.array([None, other, other], pa.string()))[0])
        for other in ("a", "b", "c", "d", "e", None)
    }
    assert len(found) == 1
