"""What a gate may be declared as."""

from __future__ import annotations

import pytest

from headrace_features import Drift, Fresh, Gate, Nulls, Unique, Volume
from headrace_features.definitions.gates import TableRule
from headrace_features.fraud.definitions import card_activity, labels, transactions
from headrace_features.project import collect
from headrace_schemas.errors import ConfigurationError


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ([], "the gate of transactions has no rules"),
        ([Volume(), Volume(0.1)], "the gate of transactions has two rules volume"),
        ([Volume(2.0, 1.0)], "the gate of transactions, volume: from 2.0 to 1.0 of the last 7"),
        ([Volume(of_last=0)], "the gate of transactions, volume: from 0.5 to 2.0 of the last 0"),
        ([Unique([])], "the gate of transactions, duplicates(): it names no column"),
        ([Unique(["card"])], "unknown column in the gate of transactions, duplicates(card)"),
        ([Unique(["card_id"], 2)], "the gate of transactions, duplicates(card_id): at_most=2"),
        ([Fresh("soon")], "the gate of transactions, freshness: 'soon' is not a duration"),
        ([Nulls("count_1d", 0.1)], "unknown column in the gate of transactions, nulls(count_1d)"),
        ([Nulls("country", -1)], "the gate of transactions, nulls(country): at_most=-1, expected"),
        (
            [Drift("amount", "jan")],
            "unknown column in the gate of transactions, drift(amount, jan)",
        ),
        ([Drift("amount_minor", "jan", -1)], "the gate of transactions, drift(amount_minor, jan):"),
    ],
)
def test_a_gate_that_can_not_be_is_refused_where_it_is_declared(
    rules: list[TableRule], told: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Gate(transactions, rules)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize("rule", [Volume(), Fresh("2h")])
def test_events_that_become_known_later_have_no_rule_on_how_much_of_a_day_is_there(
    rule: Volume | Fresh,
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Gate(labels, [rule])
    assert str(refused.value) == (
        f"the gate of transaction_labels, {rule.name}: events of transaction_labels become known"
        " later than they were, by reported_at, so a day that has just ended lacks them; expected"
        " rules on the rows that are there (leave it out: Unique, Nulls and Drift look at a day"
        " once it has rows)"
    )
    assert Gate(labels, [Unique(["transaction_id"])]).rules


def test_a_baseline_has_a_name_of_lower_case_words() -> None:
    with pytest.raises(ConfigurationError, match="'January 2026' can't name the baseline"):
        Drift("amount_minor", "January 2026")


def test_the_name_of_a_column_is_not_taken_for_its_letters() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Unique("user_id")
    assert str(refused.value) == (
        "Unique: its columns are the text 'user_id', expected a list of names"
        " (write Unique(['user_id']))"
    )


def test_the_gate_of_a_view_is_about_its_features() -> None:
    gate = Gate(card_activity, [Nulls("amount_minor_mean_7d", 0.5), Unique(["transaction_id"])])
    assert gate.name == "card_activity"
    assert gate.event_time == "event_time"
    with pytest.raises(ConfigurationError, match="unknown column"):
        Gate(card_activity, [Nulls("country", 0.5)])


def test_a_project_has_the_gates_of_its_modules_and_one_for_each_table() -> None:
    class Module:
        __name__ = "gated"
        view = card_activity
        gate = Gate(transactions, [Volume()])

    project = collect("gated", [Module])  # type: ignore[list-item] # has what a module has
    assert project.gate("transactions") == Module.gate
    with pytest.raises(ConfigurationError) as without:
        project.gate("card_activity")
    assert str(without.value) == ("card_activity has no gate (gates are declared of: transactions)")
    with pytest.raises(
        ConfigurationError, match="unknown source, view or training set 'transaction', did you"
    ):
        project.gate("transaction")

    class Other:
        __name__ = "other"
        gate = Gate(transactions, [Volume(0.1)])

    with pytest.raises(ConfigurationError, match="two different definitions of Gate"):
        collect("gated", [Module, Other])  # type: ignore[list-item] # have what modules have
