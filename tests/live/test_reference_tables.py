"""Days of events that refer to tables which bring none of the day: read every day, or filled."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_batch.warehouse import Warehouse
from headrace_schemas.settings import load
from ingestion import START_MS, Row, transaction, write_json_lines
from streams import headrace

DEFINITIONS = """
from dataclasses import replace

from headrace_features import (
    Count, Entity, EventSource, FeatureView, Gate, Nulls, ReferenceRule, Sliding, Volume,
)
from headrace_features.fraud.definitions import card, transactions
from headrace_schemas.events import Event, Identifier, TimeMs

class Known(Event, frozen=True, kw_only=True):
    id: Identifier
    since: TimeMs
    city: str | None = None

terminals = EventSource("terminals", schema=Known, event_time="since", dedup_key="id")
countries = EventSource("countries", schema=Known, event_time="since", dedup_key="id")
transactions = replace(transactions, rules=[
    ReferenceRule("known_terminal", "terminal_id", to="terminals", to_column="id"),
    ReferenceRule("known_country", "country", to="countries", to_column="id"),
])
spent = FeatureView("spent", 1, card, transactions, [Count([Sliding("7d")])])
place = Entity("place", join_key="id")
placements = FeatureView("placements", 1, place, terminals, [Count([Sliding("900d")])])
placed = Gate(terminals, [Volume(at_least=0.5, of_last=7), Nulls("city", at_most=0.0)])
"""
SETTINGS = """
[project]
name = "referring"
definitions = ["referring_definitions"]

[ingest]
transactions = "landing/{date}/*.jsonl"
terminals = "reference/terminals.jsonl"
countries = "none"
"""
DAYS = ("2018-04-01", "2018-04-02", "2018-04-03")
DAY_MS = 86_400_000
DAILY = ("run", "daily", "--date")


def known(name: str) -> Row:
    return {"id": name, "since": START_MS - 400 * DAY_MS, "city": "Ulm"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project whose transactions refer to terminals and countries, none of which are there."""
    (tmp_path / "headrace.toml").write_text(SETTINGS)
    (tmp_path / "referring_definitions.py").write_text(DEFINITIONS)
    (tmp_path / "reference").mkdir()
    for number, day in enumerate(DAYS):
        (tmp_path / "landing" / day).mkdir(parents=True)
        rows = [
            transaction(
                number * 24 + hour, terminal_id=f"terminal-{number + hour % 2}", country="DE"
            )
            for hour in range(4)
        ]
        write_json_lines(tmp_path / "landing" / day / "a.jsonl", rows)
    return tmp_path


def rows_in(folder: Path, table: str) -> int:
    rows: int = Warehouse.of(load(folder, {})).read(table).num_rows
    return rows


def test_what_refers_is_taken_in_day_by_day_and_what_it_refers_to_again(folder: Path) -> None:
    home = folder / ".headrace"
    terminals = folder / "reference/terminals.jsonl"

    missing = headrace(home, *DAILY, DAYS[0], folder=folder, check=False)
    assert missing.returncode == 75
    assert missing.stderr.startswith(
        "headrace: ingest_terminals: the events of terminals are not there: there is no data file"
        f" in {terminals}"
    )

    write_json_lines(terminals, [known("terminal-0"), known("terminal-1")])
    write_json_lines(folder / "countries.jsonl", [known("DE")])
    by_hand = ("--file", "countries.jsonl", "--source", "countries")
    headrace(home, "ingest", *by_hand, folder=folder)
    for day in DAYS[:2]:
        headrace(home, *DAILY, day, folder=folder)
    assert rows_in(folder, "bronze.terminals") == 2
    # Of the second day those of terminal-2 wait.
    assert rows_in(folder, "bronze.transactions") == 6

    write_json_lines(terminals, [known(f"terminal-{number}") for number in range(4)])
    headrace(home, *DAILY, DAYS[2], folder=folder)
    assert rows_in(folder, "bronze.terminals") == 4
    assert rows_in(folder, "bronze.transactions") == 10


def test_a_table_that_somebody_fills_is_left_out_of_a_day_s_events(folder: Path) -> None:
    home = folder / ".headrace"
    write_json_lines(folder / "reference/terminals.jsonl", [known("terminal-0")])
    told = headrace(
        home, "ingest", "--date", DAYS[0], "--source", "countries", folder=folder, check=False
    )
    assert told.returncode == 78
    assert told.stderr == (
        "headrace: [ingest] countries = 'none' says that you fill its table yourself (headrace"
        " ingest --file FILE --source countries)\n"
    )
    told = headrace(home, "ingest", "--date", DAYS[0], "--json", folder=folder, check=False)
    assert '"countries"' not in told.stdout
