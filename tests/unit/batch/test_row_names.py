"""Rows of a quarantine are called by as little of their ingests as tells them apart."""

from __future__ import annotations

from headrace_batch.quarantine.row_names import rows_named, short_names

IDS = ["0123456789ab:1", "0123456789cd:1", "0123456789ab:2", "f123456789cd:1"]


def test_a_name_is_as_long_as_it_takes_to_be_no_other_rows() -> None:
    assert short_names(IDS) == {
        "0123456789ab:1": "0123456789a:1",
        "0123456789cd:1": "0123456789c:1",
        "0123456789ab:2": "01234567:2",
        "f123456789cd:1": "f1234567:1",
    }


def test_an_ingest_whose_name_begins_as_another_ends_is_told_from_it() -> None:
    ids = ["0123456789ab:1", "0123456789ab-0:1"]
    assert rows_named(ids, short_names(ids).values()) == {
        "0123456789ab:1": ["0123456789ab:1"],
        "0123456789ab-:1": ["0123456789ab-0:1"],
    }


def test_a_name_means_every_row_whose_ingest_begins_so_unless_it_is_an_id() -> None:
    assert rows_named(IDS, ["0123:1", "f:1", "0123456789cd:1", "0123:3", ":1", "0123"]) == {
        "0123:1": IDS[:2],
        "f:1": ["f123456789cd:1"],
        "0123456789cd:1": ["0123456789cd:1"],
        "0123:3": [],
        ":1": [],
        "0123": [],
    }


def test_every_short_name_means_its_row() -> None:
    names = short_names(IDS)
    assert rows_named(IDS, names.values()) == {name: [one] for one, name in names.items()}
