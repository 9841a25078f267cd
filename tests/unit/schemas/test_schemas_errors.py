"""The error tree: what a message says, and what survives a process boundary."""

from __future__ import annotations

import pickle
from enum import StrEnum

import pytest

from headrace_schemas.errors import (
    BadRecordError,
    ConfigurationError,
    HeadraceError,
    RetryableError,
    UnsupportedError,
)
from headrace_schemas.reasons import Reason

CHILDREN = (ConfigurationError, BadRecordError, UnsupportedError, RetryableError)


def test_an_error_reads_as_one_line_with_its_hint() -> None:
    error = HeadraceError("the table is locked\n  by another run", hint="wait\nand try again")
    assert str(error) == "the table is locked by another run (wait and try again)"
    assert str(HeadraceError("nothing to add")) == "nothing to add"


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known_ones() -> None:
    error = ConfigurationError.unknown(
        "feature view", "card_activty", ["terminal", "card_activity"]
    )
    assert str(error) == (
        "unknown feature view 'card_activty', did you mean 'card_activity'?"
        " known: card_activity, terminal"
    )


def test_an_unknown_name_that_resembles_nothing_is_answered_with_all_known_ones() -> None:
    error = ConfigurationError.unknown("engine", "x", ["spark", "local"], hint="see the manual")
    assert str(error) == "unknown engine 'x'; known: local, spark (see the manual)"
    assert str(ConfigurationError.unknown("engine", "x", [])) == "unknown engine 'x'; known: none"


def test_what_is_not_supported_is_answered_with_what_is_in_the_given_order() -> None:
    error = UnsupportedError.among("file type '.orc'", [".parquet", ".csv"])
    assert str(error) == "file type '.orc' is not supported; supported: .parquet, .csv"


def test_every_class_ends_a_command_with_a_status_of_its_own_that_is_not_0() -> None:
    codes = [kind.exit_code for kind in (HeadraceError, *CHILDREN)]
    assert len(set(codes)) == len(codes)
    assert all(0 < code < 126 for code in codes)


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("wrong", hint="correct it"),
        BadRecordError(Reason.NULL_KEY, "card_id is null", field="card_id", hint="drop it"),
        RetryableError("another writer was faster", hint="try again"),
    ],
)
def test_an_error_survives_pickling_whole(error: HeadraceError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes)
    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_meaning_of_one_line(reason: Reason) -> None:
    assert reason.meaning
    assert "\n" not in reason.meaning


def test_a_choice_is_suggested_as_it_is_written() -> None:
    class Choice(StrEnum):
        ORDERED = "ordered"

    error = ConfigurationError.unknown("mode", "orderd", Choice)
    assert str(error) == "unknown mode 'orderd', did you mean 'ordered'? known: ordered"
