"""What rows are held to beyond their contract."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_batch.ingest.contract import contract_of
from headrace_features import FormatRule, ReferenceRule, RowRule, TimelyRule
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.definitions.portable_sources import portable_source, source_from
from headrace_features.definitions.row_rules import AnyRowRule
from headrace_features.project import collect
from headrace_features.records import RecordReader
from headrace_features.row_rules import RowRules, meaning_of
from headrace_schemas.errors import BadRecordError, ConfigurationError
from ruled_readings import MOST, NOON_MS, RECORDS, Reading, project, readings, recent

GOOD: dict[str, Any] = {
    "reading_id": "r",
    "sensor_id": "a",
    "event_time": NOON_MS,
    "low": 1,
    "high": 2,
    "ratio": 0.5,
    "unit": "kg",
}


def broken(changes: dict[str, Any], arrived_ms: int = NOON_MS) -> list[str]:
    return RowRules(readings).broken_by(Reading(**GOOD | changes), arrived_ms)


def table(records: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(records, contract_of(readings).schema)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, []),
        ({"low": None}, ["low_is_known", "narrow"]),
        ({"low": 3}, ["ordered"]),
        ({"low": 1, "high": 101}, ["narrow"]),
        ({"unit": None}, []),
        ({"unit": "Kg9"}, ["unit_in_letters"]),
        ({"unit": "K9"}, ["known_unit", "unit_in_letters"]),
    ],
)
def test_an_event_breaks_all_rules_that_are_not_true_for_it(
    changes: dict[str, Any], names: list[str]
) -> None:
    assert broken(changes) == names


def test_a_condition_that_can_not_be_computed_is_broken() -> None:
    assert broken({"low": -MOST, "high": MOST}) == ["narrow"]


def test_an_event_is_on_time_up_to_the_last_millisecond() -> None:
    two_hours = 7_200_000
    assert broken({}, NOON_MS + two_hours) == []
    assert broken({}, NOON_MS + two_hours + 1) == ["on_time"]


@given(st.lists(RECORDS, min_size=1, max_size=20))
def test_columns_break_the_rules_that_their_rows_break(records: list[dict[str, Any]]) -> None:
    rules = RowRules(readings)
    arrived_ms = np.array([NOON_MS + place for place in range(len(records))])
    found = rules.broken_rows(table(records), arrived_ms)
    by_row = [
        [name for name, rows in found.items() if rows[place]] for place in range(len(records))
    ]
    assert by_row == [
        rules.broken_by(Reading(**record), int(at))
        for record, at in zip(records, arrived_ms, strict=True)
    ]


def test_what_nothing_tells_the_arrival_of_is_on_time() -> None:
    long_ago = GOOD | {"event_time": NOON_MS - 10**9}
    assert not RowRules(readings).broken_rows(table([long_ago]), None)


def test_values_that_the_other_source_lacks_break_a_reference_where_it_is_known() -> None:
    only_a = {"known_sensor": lambda values: np.array([one == "a" for one in values.to_pylist()])}
    rows = table([GOOD, GOOD | {"sensor_id": "b"}])
    found = RowRules(readings, only_a).broken_rows(rows, NOON_MS)
    assert {name: bad.tolist() for name, bad in found.items()} == {"known_sensor": [False, True]}
    assert not RowRules(readings).broken_rows(rows, NOON_MS)


def test_a_record_that_breaks_a_rule_is_no_event() -> None:
    value = readings.codec.encode(Reading(**GOOD | {"low": 3}))
    with pytest.raises(BadRecordError) as refused:
        RecordReader(readings).read(value, NOON_MS)
    assert refused.value.reason == "rule_broken"
    assert refused.value.field == "ordered"
    assert str(refused.value) == "Reading breaks the rule ordered"


def test_a_rule_means_what_it_is_described_as() -> None:
    assert meaning_of(readings, "ordered") == "low is above high"
    assert meaning_of(readings, "narrow") == "the row breaks the rule narrow"
    assert meaning_of(readings, "null_key") == "an identifier is null or empty"
    assert meaning_of(readings, "gone") == "the row breaks a rule that its source no longer has"


def test_rules_come_back_from_a_document_and_are_no_part_of_what_a_view_means() -> None:
    assert source_from(portable_source(readings)).rules == readings.rules
    without = replace(recent, source=replace(readings, rules=()))
    assert fingerprint(without) == fingerprint(recent)


def test_a_document_from_before_there_were_rules_is_read() -> None:
    document = portable_source(readings)
    del document["rules"]
    assert source_from(document).rules == ()


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (RowRule("null_key", "low > 0"), "source readings, rule null_key: the name is that of a"),
        (RowRule("Bad name", "low > 0"), "'Bad name' can't name the rule"),
        (RowRule("a", "lo > 0"), "unknown column in source readings, rule a 'lo'"),
        (RowRule("a", "low + 1"), "source readings, rule a: it is int64, expected bool"),
        (FormatRule("a", "low", "x"), "source readings, rule a: low is int64, expected string"),
        (FormatRule("a", "unit", "("), "source readings, rule a: '(' is no regular expression"),
        (TimelyRule("a", "soon"), "source readings, rule a: 'soon' is not a duration"),
        (ReferenceRule("a", "sensor", to="sensors", to_column="x"), "unknown column in source"),
    ],
)
def test_a_rule_that_can_not_be_is_refused_where_it_is_declared(
    rule: AnyRowRule, told: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        replace(readings, rules=[rule])
    assert str(refused.value).startswith(told)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="the name is that of another rule"):
        replace(readings, rules=[RowRule("a", "low > 0"), RowRule("a", "high > 0")])


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (ReferenceRule("a", "sensor_id", to="sensor", to_column="sensor_id"), "unknown source in"),
        (ReferenceRule("a", "sensor_id", to="sensors", to_column="event_time"), "is int64, expect"),
        (ReferenceRule("a", "ratio", to="sensors", to_column="sensor_id"), "ratio is float64"),
    ],
)
def test_a_reference_to_what_the_project_lacks_is_refused(rule: AnyRowRule, told: str) -> None:
    import ruled_readings

    class Module:
        __name__ = "readings_with_a_reference"
        set_up = ruled_readings.set_up
        recent = replace(recent, source=replace(readings, rules=[rule]))

    with pytest.raises(ConfigurationError, match=told):
        collect("readings", [Module])  # type: ignore[list-item] # has what a module has
    assert project().sources["readings"] == readings
