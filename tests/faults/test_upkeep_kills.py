"""Upkeep that is killed leaves the rows there were; the next one does the rest."""

from __future__ import annotations

import signal
from datetime import date
from pathlib import Path
from subprocess import PIPE

import pytest

from headrace_batch.local_engine import LocalEngine
from headrace_batch.materialize import materialize_view
from headrace_batch.quality.measures import TableDays
from headrace_batch.quality.verdicts import kept_verdicts, require_day, validate
from headrace_batch.table_files import lake_tables
from headrace_batch.upkeep import keep_up
from headrace_batch.warehouse import Warehouse
from headrace_features import Gate, Volume
from headrace_features.fraud.definitions import card_activity, transactions
from headrace_schemas.errors import GateError
from headrace_schemas.settings import Settings
from headrace_schemas.tables import features_table, tiles_table
from lakes import unwatched
from late_lakes import DAYS, Lake, fields_of, keys_of, tiles_of
from programs import started

TABLES = (
    "bronze.transactions",
    features_table("card_activity", 1),
    tiles_table("card_activity", 1),
)

# Looks after a lake and does what its last arguments say: "die NAME N" before the N-th call of a
# function; or is killed from outside.
CHILD = """
import os, signal, sys
from pathlib import Path
from headrace_batch import upkeep
from headrace_batch.warehouse import Warehouse
from headrace_features.fraud.definitions import card_activity, transactions
from headrace_schemas.settings import load

home, *what = sys.argv[1:]
settings = load(Path(home), {"HEADRACE_HOME": home})
if what:
    name, left = what[0], [int(what[1])]
    real = getattr(upkeep, name)
    def dying(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    setattr(upkeep, name, dying)
list(upkeep.keep_up(Warehouse.of(settings), [transactions], [card_activity]))
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with many small files, in each kind of table."""
    made = Lake(tmp_path, seed=7, late=0.3)
    for day in DAYS[:3]:
        made.until(day)
        materialize_view(made.settings, card_activity, day, unwatched)
    LocalEngine(made.settings).backfill(card_activity, DAYS[0], DAYS[2])
    return made


def rows(settings: Settings) -> list[list[str]]:
    warehouse = Warehouse.of(settings)
    return [sorted(map(str, warehouse.read(table).to_pylist())) for table in TABLES]


@pytest.mark.parametrize(
    "what",
    [
        ("_put_together", "1"),
        ("deletable", "1"),
        ("log_files", "2"),
        ("_put_together", "2"),
        ("amid", "files"),
    ],
    ids=" ".join,
)
def test_killed_at_a_step_the_next_one_does_the_rest(what: tuple[str, str], lake: Lake) -> None:
    settings, before = lake.settings, rows(lake.settings)
    folder = Path(Warehouse.of(settings).uri(TABLES[0]))
    there = set(folder.rglob("*.parquet"))
    with started(CHILD, settings.home, *(() if what[0] == "amid" else what), stderr=PIPE) as child:
        while what[0] == "amid" and set(folder.rglob("*.parquet")) == there:
            assert child.poll() is None, child.communicate()
        if what[0] == "amid":
            child.kill()
        assert child.wait() == -signal.SIGKILL, child.communicate()

    assert rows(settings) == before
    done = list(keep_up(Warehouse.of(settings), [transactions], [card_activity]))
    assert {one.table for one in done} >= set(TABLES)
    assert rows(settings) == before
    again = list(keep_up(Warehouse.of(settings), [transactions], [card_activity], dry_run=True))
    assert {(one.put_together, one.commits) for one in again} == {(0, 0)}
    lake.until(DAYS[3])
    report = materialize_view(settings, card_activity, DAYS[3], unwatched)
    assert not report.anew
    assert tiles_of(settings, card_activity)
    assert fields_of(settings, card_activity, keys_of(lake, card_activity))


#: A rule that no day keeps which has others before it.
TOO_MUCH = Gate(transactions, [Volume(at_least=50, at_most=100)])


@pytest.fixture
def let_pass(lake: Lake) -> date:
    """A day that fails and that somebody lets pass, killed once its files were put together."""
    day, name = DAYS[1], transactions.table
    warehouse = Warehouse.of(lake.settings)
    assert validate(lake.settings, TOO_MUCH, day, 1, "a holiday").broken
    before = TableDays.of(warehouse.open(name)).content(day)
    call = str(lake_tables(warehouse, [name]).index(name) + 1)
    with started(CHILD, lake.settings.home, "carry_over", call, stderr=PIPE) as child:
        assert child.wait() == -signal.SIGKILL, child.communicate()
    assert TableDays.of(warehouse.open(name)).content(day) != before
    (kept,) = kept_verdicts(warehouse, name)
    assert kept.content == before
    return day


def test_what_people_let_pass_passes_if_killed_before_it_was_noted_of_which_files_it_is(
    lake: Lake, let_pass: date
) -> None:
    require_day(lake.settings, TOO_MUCH, let_pass, 2)


def test_the_next_one_notes_of_which_files_a_day_is_that_was_let_pass_though_none_is_small(
    lake: Lake, let_pass: date
) -> None:
    warehouse = Warehouse.of(lake.settings)
    table = warehouse.open(transactions.table)
    # So that nothing can be told from the log any more.
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    done = {one.table: one for one in keep_up(warehouse, [transactions], [card_activity])}
    assert done[transactions.table].put_together == 0
    now = TableDays.of(warehouse.open(transactions.table))
    (kept,) = kept_verdicts(warehouse, transactions.table)
    assert kept.content == now.content(let_pass)
    require_day(lake.settings, TOO_MUCH, let_pass, 2)
    with pytest.raises(GateError, match="volume is"):
        require_day(lake.settings, TOO_MUCH, DAYS[2], 2)
