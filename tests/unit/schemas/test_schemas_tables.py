"""Table names, and the folders below the warehouse that they stand for."""

from __future__ import annotations

import pytest

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.tables import bronze_table, features_table, quarantine_table, relative_path


def test_each_kind_of_table_has_a_name_and_a_folder() -> None:
    assert bronze_table("transactions") == "bronze.transactions"
    assert quarantine_table("transactions") == "quarantine.transactions"
    assert features_table("card_activity", 2) == "features.card_activity_v2"
    assert relative_path(features_table("card_activity", 2)) == "features/card_activity_v2"


@pytest.mark.parametrize(
    "table",
    [
        *("", ".", "..", "bronze", "bronze.", ".x", "a.b.c", "bronze...", "../x.y"),
        *("bronze./etc", "bronze.a/b", "bronze.A", "bronze.1st", "bronze.a\n", "bronze.a b"),
        f"bronze.{'a' * 200}",
    ],
)
def test_a_name_that_could_lead_out_of_the_warehouse_is_refused(table: str) -> None:
    with pytest.raises(ConfigurationError, match="table "):
        relative_path(table)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a.b", "Card", "é"])
def test_a_source_or_view_with_such_a_name_has_no_table(name: str) -> None:
    for make in (bronze_table, quarantine_table, lambda view: features_table(f"{view}", 1)):
        with pytest.raises(ConfigurationError, match="has a part that is no name"):
            make(name)


def test_versions_are_counted_from_1() -> None:
    with pytest.raises(ConfigurationError, match="counted from 1"):
        features_table("card_activity", 0)
