"""Days with faults end as declared, and once they are mended all is as if they had been clean.

The tasks are those of the daily run, each by its own command, in this process.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_batch import backfill_local, backfill_spark
from headrace_batch.local_engine import LocalEngine
from headrace_batch.materialize_local import InProcess
from headrace_batch.spark_engine import SparkEngine
from headrace_batch.tile_table import TileTable
from headrace_batch.warehouse import Warehouse
from headrace_features.online.query_times import AS_OF
from headrace_features.online.reader import FeatureReader
from headrace_features.online.stores import open_store
from headrace_features.project import load_project
from headrace_orchestration.cli import app
from headrace_orchestration.runs.daily import daily_features
from headrace_orchestration.runs.graph import DATE, filled
from headrace_schemas.errors import HeadraceError
from headrace_schemas.settings import Settings, load
from ingestion import START_MS, Row, stored, transaction

DEFINITIONS = """
from dataclasses import replace

from headrace_features import (
    Count, Drift, FeatureView, Fresh, Gate, Last, Mean, Nulls, RowRule, Sliding, Volume,
)
from headrace_features.fraud.definitions import card, transactions

transactions = replace(transactions, rules=[RowRule("positive", "amount_minor > 0")])
spent = FeatureView("spent", 1, card, transactions, [
    Count([Sliding("1d"), Sliding("7d")]),
    Mean("amount_minor", [Sliding("7d")]),
    Last("country", [Sliding("7d")]),
])
events = Gate(transactions, [
    Volume(at_least=0.8, at_most=1.2, of_last=3),
    Fresh("2h"),
    Nulls("country", at_most=0.1),
    Drift("amount_minor", "usual"),
])
features = Gate(spent, [Nulls("amount_minor_mean_7d", at_most=0.0)])
"""
SETTINGS = """
[project]
name = "faulty"
definitions = ["faulty_definitions"]

[ingest]
transactions = "landing/{date}/*.parquet"
"""
DAYS = ("2018-04-01", "2018-04-02", "2018-04-03", "2018-04-04", "2018-04-05")
DAY_MS = 86_400_000
ROWS = 60
CARDS = 5


def rows_of(day: int) -> list[Row]:
    """The good rows of a day, alike on every day."""
    return [
        transaction(
            number,
            transaction_id=f"tx-{day}-{number}",
            card_id=f"card-{number % CARDS}",
            event_time=START_MS + day * DAY_MS + number * DAY_MS // ROWS,
            amount_minor=100 + 7 * number % 50,
            country=("DE", "FR")[number % 2],
        )
        for number in range(ROWS)
    ]


@dataclass
class Shop:
    """A project with rules and gates, whose files land in folders of days."""

    folder: Path

    @property
    def settings(self) -> Settings:
        return load(self.folder, {})

    def land(self, day: int, rows: list[Row], name: str = "a") -> None:
        file = self.folder / "landing" / DAYS[day] / f"{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), file)

    def headrace(self, *arguments: str) -> None:
        """A command, in this process; raises what it ends with."""
        with _within(self.folder):
            app(arguments, prog_name="headrace", standalone_mode=False)

    def run(self, day: int) -> None:
        """The tasks of a day's run, in order, up to the first that fails."""
        settings = self.settings
        project = load_project(settings)
        for task in daily_features(settings, project, project.gates).tasks:
            self.headrace(*filled(task.command, {DATE.strip("{}"): DAYS[day]}))

    def contents(self) -> dict[str, Any]:
        """The tables, and what readers get after the last day."""
        settings = self.settings
        tables = ("bronze.transactions", "features.spent_v1")
        return {"online": self.online(), **{one: stored(settings, one) for one in tables}}

    def online(self) -> list[Any]:
        settings = self.settings
        project = load_project(settings)
        reader = FeatureReader(open_store(settings), project.select(["spent"]))
        at = {AS_OF: START_MS + 4 * DAY_MS}
        found = reader.read([{"card_id": f"card-{number}"} | at for number in range(CARDS)])
        return [(row.to_dict(), row.statuses) for row in found]

    def served(self) -> str:
        """A hash of all that readers could get."""
        path = self.settings.online.path
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def kept(self) -> list[list[str]]:
        """The reasons of rows in quarantine."""
        warehouse = Warehouse.of(self.settings)
        if not warehouse.exists("quarantine.transactions"):
            return []
        found = warehouse.read("quarantine.transactions", ["reasons"]).column(0)
        return [list(reasons) for reasons in found.to_pylist()]


@contextmanager
def _within(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Three clean days, and a baseline of them."""
    folder = tmp_path_factory.mktemp("begun") / "shop"
    folder.mkdir()
    (folder / "headrace.toml").write_text(SETTINGS)
    (folder / "faulty_definitions.py").write_text(DEFINITIONS)
    shop = Shop(folder)
    for day in range(3):
        shop.land(day, rows_of(day))
    shop.headrace("ingest", "--date", DAYS[0])
    days = ("--start", DAYS[0], "--end", DAYS[0])
    shop.headrace("baseline", "set", "usual", "--of", "transactions", *days)
    for day in range(3):
        shop.run(day)
    return shop


@pytest.fixture(scope="module")
def clean(begun: Shop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What there is after a clean fourth day."""
    shop = _copied(begun, tmp_path_factory.mktemp("clean"))
    shop.land(3, rows_of(3))
    shop.run(3)
    return shop.contents()


@pytest.fixture
def shop(begun: Shop, tmp_path: Path) -> Shop:
    return _copied(begun, tmp_path)


def _copied(shop: Shop, folder: Path) -> Shop:
    shutil.copytree(shop.folder, folder / "shop")
    return Shop(folder / "shop")


def tenth(rows: list[Row], change: Callable[[Row], Row]) -> list[Row]:
    """The rows, every tenth changed."""
    return [row | (change(row) if place % 10 == 4 else {}) for place, row in enumerate(rows)]


def stopped(shop: Shop) -> str:
    """Run the fourth day, which fails before anything online has changed; what it says."""
    before = (shop.served(), shop.online())
    with pytest.raises(HeadraceError) as failed:
        shop.run(3)
    assert (shop.served(), shop.online()) == before
    assert failed.value.exit_code in {65, 78}
    return str(failed.value)


def test_rows_without_a_card_are_quarantined_and_come_in_mended(
    shop: Shop, clean: dict[str, Any]
) -> None:
    good = rows_of(3)
    shop.land(3, tenth(good, lambda _: {"card_id": None}))
    shop.run(3)
    assert shop.kept() == [["null_key"]] * 6
    assert shop.contents() != clean
    shop.land(3, good, "mended")
    shop.run(3)
    assert shop.contents() == clean


def test_negative_amounts_are_quarantined_repaired_and_released(
    shop: Shop, clean: dict[str, Any]
) -> None:
    shop.land(3, tenth(rows_of(3), lambda row: {"amount_minor": -row["amount_minor"]}))
    shop.run(3)
    assert shop.kept() == [["positive"]] * 6
    amounts = ("--reason", "positive", "--set", "amount_minor=ABS(amount_minor)")
    shop.headrace("quarantine", "repair", "transactions", *amounts)
    shop.headrace("quarantine", "release", "transactions")
    shop.run(3)
    assert shop.contents() == clean


@pytest.mark.parametrize("again", ["the file", "its rows"])
def test_what_is_doubled_counts_once(shop: Shop, clean: dict[str, Any], again: str) -> None:
    rows = rows_of(3)
    shop.land(3, rows)
    shop.land(3, rows if again == "the file" else rows[::-1], "b")
    shop.run(3)
    assert shop.contents() == clean


def test_half_a_day_is_stopped_until_the_rest_has_come(shop: Shop, clean: dict[str, Any]) -> None:
    rows = rows_of(3)
    shop.land(3, rows[::2])
    assert "bronze.transactions of 2018-04-04 fails its gate: volume is 0.5 times" in stopped(shop)
    shop.land(3, rows[1::2], "rest")
    shop.run(3)
    assert shop.contents() == clean


@pytest.mark.parametrize("mended", ["by a file", "by an expression"])
def test_shifted_amounts_are_stopped_and_the_day_is_set_aside_and_mended(
    shop: Shop, clean: dict[str, Any], mended: str
) -> None:
    rows = rows_of(3)
    shop.land(3, [row | {"amount_minor": row["amount_minor"] + 5000} for row in rows])
    assert "drift(amount_minor, usual) is" in stopped(shop)
    shop.headrace("quarantine", "day", "transactions", "--date", DAYS[3])
    assert shop.kept() == [["set_aside"]] * ROWS
    if mended == "by a file":
        shop.land(3, rows, "mended")
    else:
        amounts = ("--set", "amount_minor=amount_minor - 5000")
        shop.headrace("quarantine", "repair", "transactions", *amounts)
        shop.headrace("quarantine", "release", "transactions")
    shop.run(3)
    assert shop.contents() == clean


def test_a_mended_file_that_came_too_early_comes_in_again_once_the_day_is_set_aside(
    shop: Shop, clean: dict[str, Any]
) -> None:
    rows = rows_of(3)
    shop.land(3, [row | {"amount_minor": row["amount_minor"] + 5000} for row in rows], "bad")
    told = stopped(shop)
    assert f"wrong rows go first: headrace quarantine day transactions --date {DAYS[3]}" in told
    # The table has its keys already.
    shop.land(3, rows, "mended")
    assert "drift(amount_minor, usual) is" in stopped(shop)
    shop.headrace("quarantine", "day", "transactions", "--date", DAYS[3])
    # By itself neither of the files comes back.
    assert f"no rows of {DAYS[3]} have come" in stopped(shop)
    (shop.folder / "landing" / DAYS[3] / "bad.parquet").unlink()
    shop.headrace("ingest", "--date", DAYS[3], "--source", "transactions", "--again")
    shop.run(3)
    assert shop.contents() == clean


def test_a_wrong_unit_of_time_is_stopped_repaired_and_released(
    shop: Shop, clean: dict[str, Any]
) -> None:
    shop.land(3, [row | {"event_time": row["event_time"] // 1000} for row in rows_of(3)])
    assert "all rows were rejected (event_time_wrong_unit 60)" in stopped(shop)
    times = ("--reason", "event_time_wrong_unit", "--set", "event_time=event_time * 1000")
    shop.headrace("quarantine", "repair", "transactions", *times)
    shop.headrace("quarantine", "release", "transactions")
    shop.run(3)
    assert shop.contents() == clean


def test_a_new_column_is_left_out_and_told(
    shop: Shop, clean: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    shop.land(3, [row | {"loyalty": 7} for row in rows_of(3)])
    shop.run(3)
    assert "\nignored columns: loyalty\n" in capsys.readouterr().out
    assert shop.contents() == clean


def test_a_column_that_is_missing_stops_the_day_until_it_is_there(
    shop: Shop, clean: dict[str, Any]
) -> None:
    rows = rows_of(3)
    shop.land(3, [{name: row[name] for name in row if name != "amount_minor"} for row in rows])
    assert "has no column amount_minor, which Transaction requires" in stopped(shop)
    shop.land(3, rows)
    shop.run(3)
    assert shop.contents() == clean


def test_a_column_that_may_be_null_and_is_missing_stops_the_day_until_it_is_mended(
    shop: Shop, clean: dict[str, Any]
) -> None:
    rows = rows_of(3)
    shop.land(3, [{name: row[name] for name in row if name != "country"} for row in rows])
    assert "nulls(country) is 1 of the rows, expected at most 0.1" in stopped(shop)
    shop.headrace("quarantine", "day", "transactions", "--date", DAYS[3])
    shop.land(3, rows, "mended")
    shop.run(3)
    assert shop.contents() == clean


def test_a_day_that_failed_is_in_nothing_that_a_later_day_makes(shop: Shop) -> None:
    rows = rows_of(3)
    shop.land(3, [row | {"amount_minor": row["amount_minor"] + 5000} for row in rows])
    stopped(shop)
    # Whoever goes on with the next day, or begins a new store.
    shop.land(4, rows_of(4))
    shop.headrace("ingest", "--date", DAYS[4])
    shop.headrace("validate", "transactions", "--date", DAYS[4])
    history = stored(shop.settings, "features.spent_v1")
    for path in (shop.settings.online.path, Path("none")):
        with pytest.raises(HeadraceError, match="2018-04-04 fails its gate"):
            shop.headrace("materialize", "--date", DAYS[4])
        with pytest.raises(HeadraceError, match="2018-04-04 fails its gate"):
            shop.headrace("backfill", "--date", DAYS[4])
        path.unlink(missing_ok=True)
    assert stored(shop.settings, "features.spent_v1") == history


def test_a_day_that_has_not_come_stops_the_days_after_it(shop: Shop, clean: dict[str, Any]) -> None:
    shop.land(4, rows_of(4))
    shop.headrace("ingest", "--date", DAYS[4])
    shop.headrace("validate", "transactions", "--date", DAYS[4])
    served = shop.served()
    for command in ("backfill", "materialize"):
        with pytest.raises(HeadraceError, match="no rows of 2018-04-04 have come into bronze"):
            shop.headrace(command, "--date", DAYS[4])
    assert shop.served() == served
    shop.land(3, rows_of(3))
    shop.run(3)
    assert shop.online() == clean["online"]


def test_a_day_that_has_not_come_is_told_before_days_that_are_not_as_usual(shop: Shop) -> None:
    shop.land(3, [row | {"amount_minor": row["amount_minor"] + 5000} for row in rows_of(3)])
    shop.headrace("ingest", "--date", DAYS[3])
    for command in ("backfill", "materialize"):
        with pytest.raises(HeadraceError, match="no rows of 2018-04-05 have come into bronze"):
            shop.headrace(command, "--date", DAYS[4])


def doubled(day: int) -> list[Row]:
    return [row | {"transaction_id": f"late-{row['transaction_id']}"} for row in rows_of(day)]


def require_unpublished(shop: Shop, day: str) -> None:
    """See that no layer up to a day is published, as the fourth day has twice its rows."""
    served = shop.online()
    with pytest.raises(HeadraceError, match="2018-04-04 fails its gate: volume is 2 times"):
        shop.headrace("materialize", "--date", day)
    assert shop.online() == served


def test_late_rows_that_spoil_a_day_before_stop_the_day_after(shop: Shop) -> None:
    shop.land(3, rows_of(3))
    shop.run(3)
    shop.land(4, [*doubled(3), *rows_of(4)])
    shop.headrace("ingest", "--date", DAYS[4])
    require_unpublished(shop, DAYS[4])


def test_rows_that_come_while_a_layer_is_made_are_not_published_unjudged(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.land(3, rows_of(3))
    shop.headrace("ingest", "--date", DAYS[3])
    spoil_before(TileTable, "update", shop, monkeypatch)
    require_unpublished(shop, DAYS[3])


def spoil_before(owner: Any, name: str, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rows that spoil the fourth day come before a function does what it does."""
    real = getattr(owner, name)

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        shop.land(3, doubled(3), "more")
        shop.headrace("ingest", "--date", DAYS[3])
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, meanwhile)


def mend_after(owner: Any, name: str, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the fourth day mended once a function has done what it does."""
    real = getattr(owner, name)

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        done = real(*arguments, **options)
        shop.headrace("quarantine", "day", "transactions", "--date", DAYS[3])
        shop.land(3, rows_of(3)[::-1], "mended")
        shop.headrace("ingest", "--date", DAYS[3])
        return done

    monkeypatch.setattr(owner, name, meanwhile)


def test_rows_of_which_a_layer_was_made_are_judged_though_they_have_gone_meanwhile(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.land(3, rows_of(3))
    shop.headrace("ingest", "--date", DAYS[3])
    spoil_before(TileTable, "update", shop, monkeypatch)
    mend_after(InProcess, "fill", shop, monkeypatch)
    require_unpublished(shop, DAYS[3])


@pytest.mark.parametrize(
    ("engine", "fixed"),
    [(LocalEngine, (backfill_local, "Events")), (SparkEngine, (backfill_spark, "replace"))],
)
def test_rows_that_a_history_is_made_of_are_judged_though_they_have_gone_meanwhile(
    engine: type[LocalEngine | SparkEngine],
    fixed: tuple[Any, str],
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop.land(3, rows_of(3))
    shop.headrace("ingest", "--date", DAYS[3])
    history = stored(shop.settings, "features.spent_v1")
    spoil_before(engine, "backfill", shop, monkeypatch)
    mend_after(*fixed, shop, monkeypatch)
    name = "local" if engine is LocalEngine else "spark"
    with pytest.raises(HeadraceError, match="2018-04-04 fails its gate: volume is 2 times"):
        shop.headrace("backfill", "--date", DAYS[3], "--engine", name)
    assert stored(shop.settings, "features.spent_v1") == history


@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("engine", [LocalEngine, SparkEngine])
def test_rows_that_come_once_a_gate_has_passed_are_in_no_history_unjudged(
    engine: type[LocalEngine | SparkEngine], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.land(3, rows_of(3))
    shop.headrace("ingest", "--date", DAYS[3])
    history = stored(shop.settings, "features.spent_v1")
    backfill = engine.backfill

    def meanwhile(*arguments: Any, **options: Any) -> Any:
        shop.land(3, doubled(3), "more")
        shop.headrace("ingest", "--date", DAYS[3])
        return backfill(*arguments, **options)

    monkeypatch.setattr(engine, "backfill", meanwhile)
    name = "local" if engine is LocalEngine else "spark"
    with pytest.raises(HeadraceError, match="2018-04-04 fails its gate: volume is 2 times"):
        shop.headrace("backfill", "--date", DAYS[3], "--engine", name)
    assert stored(shop.settings, "features.spent_v1") == history


def test_a_day_that_is_spoilt_is_stopped_though_all_is_made_anew(shop: Shop) -> None:
    for day in (3, 4):
        shop.land(day, rows_of(day))
        shop.headrace("ingest", "--date", DAYS[day])
    shop.headrace("validate", "transactions", "--date", DAYS[3])
    shop.headrace("materialize", "--date", DAYS[3])
    shop.land(3, doubled(3), "late")
    shop.headrace("ingest", "--date", DAYS[3])
    # What was made of a day that is taken out is made anew, and nobody can tell what came since.
    shop.headrace("quarantine", "day", "transactions", "--date", DAYS[1])
    shop.land(1, rows_of(1)[::-1], "mended")
    shop.headrace("ingest", "--date", DAYS[1])
    served = shop.online()
    with pytest.raises(HeadraceError, match="2018-04-04 fails its gate: volume is 2 times"):
        shop.headrace("materialize", "--date", DAYS[4])
    assert shop.online() == served


def test_rows_that_only_tiles_have_are_judged_by_the_next_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.land(3, rows_of(3))
    shop.run(3)
    served = shop.online()
    update = TileTable.update

    def ended(*arguments: Any) -> Any:
        shop.land(3, doubled(3), "late")
        shop.headrace("ingest", "--date", DAYS[3])
        update(*arguments)
        raise GeneratorExit

    shop.land(4, rows_of(4))
    shop.headrace("ingest", "--date", DAYS[4])
    monkeypatch.setattr(TileTable, "update", ended)
    with pytest.raises(GeneratorExit):
        shop.headrace("materialize", "--date", DAYS[4])
    monkeypatch.setattr(TileTable, "update", update)
    with pytest.raises(HeadraceError, match="2018-04-04 fails its gate: volume is 2 times"):
        shop.headrace("materialize", "--date", DAYS[4])
    assert shop.online() == served


def test_what_was_said_of_days_holds_when_their_files_are_put_together(shop: Shop) -> None:
    shop.land(3, rows_of(3)[:30], "a")
    shop.headrace("ingest", "--date", DAYS[3])
    shop.headrace("validate", "transactions", "--date", DAYS[3], "--accept", "a holiday")
    shop.land(3, rows_of(3)[30:31], "b")
    shop.headrace("ingest", "--date", DAYS[3])
    shop.headrace("validate", "transactions", "--date", DAYS[3], "--accept", "a holiday")
    shop.headrace("materialize", "--date", DAYS[3])
    shop.headrace("backfill", "--date", DAYS[3])
    warehouse = Warehouse.of(shop.settings)
    before = warehouse.open("bronze.transactions").file_uris()
    shop.headrace("maintain", "lake")
    assert len(warehouse.open("bronze.transactions").file_uris()) < len(before)
    shop.headrace("materialize", "--date", DAYS[3])


def test_a_day_that_is_measured_as_before_is_in_the_data_docs_already(shop: Shop) -> None:
    quality = shop.settings.home / "quality"

    def written() -> set[int]:
        pages = quality.rglob(f"validations/bronze/transactions/{DAYS[2]}/*/*.html")
        return {page.stat().st_mtime_ns for page in pages}

    before = written()
    assert len(before) == 1
    shop.headrace("validate", "transactions", "--date", DAYS[2])
    assert written() == before
    shop.headrace("validate", "transactions", "--date", DAYS[2], "--accept", "looked at")
    accepted = written()
    assert accepted > before
    shutil.rmtree(quality)
    shop.headrace("validate", "transactions", "--date", DAYS[2])
    assert len(written()) == 1


def test_data_docs_show_what_was_said_of_every_day(begun: Shop) -> None:
    folder = begun.settings.home / "quality" / "gx" / "uncommitted" / "data_docs" / "local_site"
    shown = folder.glob("validations/bronze/transactions/*")
    assert sorted(one.name for one in shown) == list(DAYS[:3])


def test_a_day_that_was_taken_out_after_it_had_passed_stops_the_days_after_it(shop: Shop) -> None:
    shop.land(3, rows_of(3))
    shop.headrace("ingest", "--date", DAYS[3])
    shop.headrace("quarantine", "day", "transactions", "--date", DAYS[2])
    served, history = shop.served(), stored(shop.settings, "features.spent_v1")
    for command in ("backfill", "materialize"):
        with pytest.raises(HeadraceError, match="no rows of 2018-04-03 have come into bronze"):
            shop.headrace(command, "--date", DAYS[3])
    assert (shop.served(), stored(shop.settings, "features.spent_v1")) == (served, history)


def test_a_day_that_has_not_come_stops_the_days_after_it_though_all_is_made_anew(
    shop: Shop,
) -> None:
    shop.headrace("quarantine", "day", "transactions", "--date", DAYS[1])
    shop.headrace("quarantine", "release", "transactions")
    shop.land(4, rows_of(4))
    shop.headrace("ingest", "--date", DAYS[4])
    shop.headrace("validate", "transactions", "--date", DAYS[4])
    served = shop.served()
    for command in ("backfill", "materialize"):
        with pytest.raises(HeadraceError, match="no rows of 2018-04-04 have come into bronze"):
            shop.headrace(command, "--date", DAYS[4])
    assert shop.served() == served
