from __future__ import annotations

import random
from collections import Counter

import pytest

from headrace_schemas.errors import ConfigurationError
from headrace_streaming.kafka.disorder import Disorder, Sent, disturbed

RECORDS = [Sent(n * 100, "topic", f"key {n % 7}", f"value {n}".encode()) for n in range(5_000)]


def sent(disorder: Disorder, seed: int = 0) -> list[Sent]:
    return list(disturbed(RECORDS, disorder, random.Random(seed)))


def test_without_disorder_records_stay_as_they_are() -> None:
    assert sent(Disorder()) == RECORDS


def test_records_out_of_order_are_all_there_at_most_five_seconds_late() -> None:
    found = sent(Disorder(out_of_order=0.05))
    assert Counter(one.value for one in found) == Counter(one.value for one in RECORDS)
    assert [one.value for one in found] != [one.value for one in RECORDS]
    due = {one.value: one.at_ms for one in RECORDS}
    delays = [one.at_ms - due[one.value] for one in found]
    assert 0.03 < sum(delay > 0 for delay in delays) / len(RECORDS) < 0.07
    assert max(delays) < 5_000
    assert [one.at_ms for one in found] == sorted(one.at_ms for one in found)


def test_late_records_come_hours_later() -> None:
    found = sent(Disorder(late=0.01))
    due = {one.value: one.at_ms for one in RECORDS}
    assert max(one.at_ms - due[one.value] for one in found) > 3_600_000
    assert len(found) == len(RECORDS)


def test_duplicated_records_come_twice_and_spoilt_ones_cut_off() -> None:
    found = sent(Disorder(duplicated=0.02, spoilt=0.01))
    counts = Counter(one.value for one in found)
    assert 0.01 < sum(number == 2 for number in counts.values()) / len(RECORDS) < 0.03
    whole = {one.value for one in RECORDS}
    assert 20 < sum(one.value not in whole for one in found) < 90


def test_the_same_seed_gives_the_same_disorder() -> None:
    disorder = Disorder(out_of_order=0.1, late=0.1, duplicated=0.1, spoilt=0.1)
    assert sent(disorder, seed=3) == sent(disorder, seed=3)
    assert sent(disorder, seed=3) != sent(disorder, seed=4)


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"late is 1\.5, expected a share"):
        Disorder(late=1.5)
