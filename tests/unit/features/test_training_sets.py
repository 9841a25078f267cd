"""What a training set declares: its rows, its columns, its days; and what it refuses."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from headrace_features import Entity, Gate, Nulls, TrainingSet, Volume
from headrace_features.fraud import definitions
from headrace_features.fraud.definitions import card, fraud_scoring, labels, transactions
from headrace_features.project import collect
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import ConfigurationError


def declared(**options: Any) -> TrainingSet:
    return TrainingSet(
        **{
            "name": "fraud_set",
            "service": fraud_scoring,
            "events": transactions,
            "label": ["is_fraud"],
            "label_source": labels,
            **options,
        }
    )


def test_a_row_has_keys_what_requests_bring_labels_and_features() -> None:
    one = declared(columns=["country"])
    assert list(one.kept) == [
        "transaction_id",
        "card_id",
        "terminal_id",
        "amount_minor",
        "latitude",
        "longitude",
        "country",
    ]
    assert one.column_types["is_fraud"] is ColumnType.BOOL
    assert one.column_types["card_activity__count_1d"] is ColumnType.INT64
    assert one.column_types["transaction_context__km_since_last"] is ColumnType.FLOAT64
    assert set(one.sources) == {"transactions", "transaction_labels"}


@pytest.mark.parametrize(
    ("delay", "last"),
    [("0d", date(2024, 5, 31)), ("7d", date(2024, 5, 24)), ("1h", date(2024, 5, 30))],
)
def test_the_last_day_of_events_is_one_whose_labels_are_known(delay: str, last: date) -> None:
    first, found = declared(label_delay=delay, days=30).days_at(date(2024, 5, 31))
    assert found == last
    assert (last - first).days == 29


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "Fraud"}, "can't name the training set"),
        ({"label": []}, "has no label"),
        ({"label": ["fraud"]}, "unknown column of TransactionLabel 'fraud'"),
        ({"label_source": None}, "unknown column of Transaction 'is_fraud'"),
        ({"columns": ["colour"]}, "unknown column of Transaction 'colour'"),
        ({"columns": ["event_time"]}, "two columns 'event_time'"),
        ({"days": 14}, "leaves none for training"),
        ({"test_days": -1}, "days are counted from 0"),
        ({"hold_out": 0.1}, "expected a share below 1 and whose entities are held out"),
        ({"entity": card}, "expected a share below 1 and whose entities are held out"),
        ({"hold_out": 0.1, "entity": Entity("shop", "shop_id")}, "unknown column"),
        ({"label_delay": "a week"}, "a week"),
        ({"format": "csv"}, "unknown format of training set fraud_set 'csv'"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        declared(**options)


def test_a_gate_may_be_about_any_column_of_a_row() -> None:
    one = declared()
    gate = Gate(one, [Volume(), Nulls("card_activity__amount_minor_mean_7d", at_most=0.5)])
    assert (gate.name, gate.event_time) == ("fraud_set", "event_time")
    with pytest.raises(ConfigurationError, match="no_feature"):
        Gate(one, [Nulls("no_feature", at_most=0.5)])


def test_a_project_has_its_sets_and_what_they_refer_to() -> None:
    project = collect("fraud", [definitions])
    assert list(project.training_sets) == ["fraud_training"]
    assert project.training_set("fraud_training").label_delay == "7d"
    with pytest.raises(ConfigurationError, match="unknown training set 'fraud'"):
        project.training_set("fraud")
