"""Rows that were not taken in are looked at, repaired and released as late events, each once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from headrace_batch.ingest.broker import TopicNow
from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.covered import covered_offsets
from headrace_batch.ingest.run import ingest
from headrace_batch.ingest.topic_rows import Judge
from headrace_batch.ingest.topic_tables import TopicTables
from headrace_batch.lake_history import has_other_events
from headrace_batch.quarantine.kept_rows import KeptRow, RowState, kept_rows
from headrace_batch.quarantine.setting_aside import set_aside
from headrace_batch.warehouse import Warehouse
from headrace_features.online.query_times import AS_OF
from headrace_features.online.reader import FeatureReader
from headrace_features.online.stores import open_store
from headrace_features.project import load_project
from headrace_orchestration import releasing
from headrace_schemas.settings import Settings, load
from ingestion import Row, stored, transaction, write_json_lines
from lineage_events import recorded_events
from streams import headrace

NOW_MS = 1_600_000_000_000
DEFINITIONS = """
from dataclasses import replace

from headrace_features import Count, FeatureView, RowRule, Sliding, Sum, TimelyRule
from headrace_features.fraud.definitions import card, transactions

transactions = replace(transactions, rules=[
    RowRule("positive", "amount_minor > 0", "an amount is nothing or less"),
    RowRule("known_country", "country IS NULL OR country IN ('DE', 'FR')"),
    TimelyRule("on_time", "400d"),
])
spent = FeatureView("spent", 1, card, transactions, [
    Count([Sliding("7d")]), Sum("amount_minor", [Sliding("7d")]),
])
"""


class Shop:
    """A project with rules, and what its lake has."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        (folder / "headrace.toml").write_text(
            f'[project]\nname = "{folder.name}"\ndefinitions = ["{folder.name}_definitions"]\n'
        )
        (folder / f"{folder.name}_definitions.py").write_text(DEFINITIONS)
        self.settings: Settings = load(folder, {})

    def run(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        done = headrace(self.folder / ".headrace", *arguments, folder=self.folder, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout, done.stderr

    def take(self, rows: list[Row], name: str = "rows.jsonl") -> None:
        file = write_json_lines(self.folder / name, rows)
        self.run("ingest", "--source", "transactions", "--file", str(file))

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        told, _ = self.run("quarantine", "list", "transactions", "--json", *arguments)
        rows: list[dict[str, Any]] = json.loads(told)["rows"]
        return rows

    def online(self) -> list[Any]:
        """What the cards' features are after two days."""
        project = load_project(self.settings)
        store = open_store(self.settings)
        reader = FeatureReader(store, project.select(["spent"]))
        at = {AS_OF: "2018-04-03T00:00:00Z"}
        found = reader.read([{"card_id": f"card-{number}"} | at for number in range(7)])
        return [(row.to_dict(), row.statuses) for row in found]

    def events(self) -> list[tuple[Any, ...]]:
        return stored(self.settings, "bronze.transactions")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "ruled")


def short(row: Mapping[str, Any]) -> str:
    """What a row is called where no other has a similar name."""
    return f"{row['row'][:8]}:{row['row_number']}"


def spoilt(rows: list[Row]) -> list[Row]:
    """The rows, of which some have a negative amount, a wrong unit of time, or no card."""
    return [
        row
        | (
            {"amount_minor": -row["amount_minor"], "country": "XX"}
            if place % 4 == 1
            else {"event_time": row["event_time"] // 1000}
            if place % 4 == 2
            else {"card_id": None}
            if place % 8 == 3
            else {}
        )
        for place, row in enumerate(rows)
    ]


def clean(count: int) -> list[Row]:
    return [transaction(number, country="DE") for number in range(count)]


def test_rows_are_listed_with_all_reasons_and_their_meaning(shop: Shop) -> None:
    shop.take(spoilt(clean(8)))
    assert [row["reasons"] for row in shop.rows()] == [
        ["positive", "known_country"],
        ["event_time_wrong_unit"],
        ["null_key"],
        ["positive", "known_country"],
        ["event_time_wrong_unit"],
    ]
    assert [row["row_number"] for row in shop.rows("--reason", "positive")] == [2, 6]
    told, _ = shop.run("quarantine", "list", "transactions", "--limit", "1")
    assert "4 more: --limit 5, or --json" in told
    assert "2 positive: an amount is nothing or less" in told
    assert "null_key: an identifier is null or empty" in told


def test_files_of_one_name_are_told_from_each_other_by_their_folders(shop: Shop) -> None:
    bad = spoilt(clean(4))
    for folder, rows in (("2018-04-01", bad[:2]), ("2018-04-02", bad[2:] + clean(5)[4:])):
        (shop.folder / folder).mkdir()
        shop.take(rows, f"{folder}/rows.jsonl")
    told, _ = shop.run("quarantine", "list", "transactions")
    assert "2018-04-01/rows" in told
    assert "2018-04-02/rows" in told


def test_a_bad_row_of_a_file_waits_once_however_often_the_file_is_edited(shop: Shop) -> None:
    project, warehouse = load_project(shop.settings), Warehouse.of(shop.settings)
    source, bad = project.source("transactions"), spoilt(clean(4))[3]

    def edited(rows: list[Row]) -> list[KeptRow]:
        file = write_json_lines(shop.folder / "rows.jsonl", rows)
        ingest(shop.settings, project, str(file), source="transactions")
        return kept_rows(warehouse, source)

    # Rows that are alike in one content are two.
    first, other = edited([bad, bad, *clean(1)])
    assert len(edited([*clean(3), bad, bad])) == 2
    # What is done to one holds whenever it comes, and it can be called as it was then.
    good = {**spoilt(clean(4))[3], "transaction_id": "mended", "card_id": "card-1"}
    rows = releasing.Rows(source, kept_rows(warehouse, source, names=[first.id]))
    assert releasing.repair(shop.settings, project, rows, NOW_MS, lambda _: good).repaired == 1
    states = {row.id: row.state for row in edited([bad, *clean(2), bad])}
    assert states[first.id] is RowState.REPAIRED
    assert sorted(states.values()) == [RowState.REPAIRED, RowState.WAITING]
    rows = releasing.Rows(source, kept_rows(warehouse, source, names=[first.id]))
    assert releasing.release(shop.settings, project, rows, NOW_MS).taken_in == 1
    states = {row.id: row.state for row in edited([bad, bad])}
    assert states.pop(first.id) is RowState.RELEASED
    assert list(states.values()) == [RowState.WAITING]
    assert kept_rows(warehouse, source, names=[other.id])[0].state is RowState.WAITING


def test_a_row_that_came_twice_is_as_it_was_repaired_last_whatever_it_was_called(
    shop: Shop,
) -> None:
    project, warehouse = load_project(shop.settings), Warehouse.of(shop.settings)
    source, bad = project.source("transactions"), spoilt(clean(4))[3]
    for rows in ([bad], [bad, *clean(1)]):
        file = write_json_lines(shop.folder / "rows.jsonl", rows)
        ingest(shop.settings, project, str(file), source="transactions")
    names = sorted(set(warehouse.read("quarantine.transactions")["ingest_id"].to_pylist()))
    assert len(names) == 2
    for place, name in enumerate([*names, *names[::-1]]):
        kept = kept_rows(warehouse, source, names=[f"{name}:1"])
        good = {**bad, "card_id": f"card-{place}"}

        def mended(_: KeptRow, good: Row = good) -> Row:
            return good

        asked = releasing.Rows(source, kept)
        releasing.repair(shop.settings, project, asked, NOW_MS + place, mended)
        (row,) = kept_rows(warehouse, source)
        assert row.event is not None
        assert row.event["card_id"] == good["card_id"]


def test_after_repair_and_release_all_is_as_if_the_rows_had_been_good(
    shop: Shop, tmp_path: Path
) -> None:
    good = Shop(tmp_path / "good")
    good.take(clean(40))
    shop.take(spoilt(clean(40)))
    # What is released comes into a batch layer that there is already.
    shop.run("materialize", "--date", "2018-04-02")

    amounts = ("--set", "amount_minor=-amount_minor", "--set", "country='DE'")
    shop.run("quarantine", "repair", "transactions", "--reason", "positive", *amounts)
    times = ("--reason", "event_time_wrong_unit", "--set", "event_time=event_time * 1000")
    shop.run("quarantine", "repair", "transactions", *times)
    told, _ = shop.run("quarantine", "release", "transactions")
    assert "20 rows taken in" in told
    assert "5 rows left in quarantine: null_key" in told

    (shop.folder / "edited.json").write_text(
        json.dumps(
            {
                "rows": [
                    row
                    | {"event": row["event"] | {"card_id": f"card-{(row['row_number'] - 1) % 7}"}}
                    for row in shop.rows()
                ]
            }
        )
    )
    edited = ("--file", str(shop.folder / "edited.json"))
    shop.run("quarantine", "repair", "transactions", *edited)
    assert {row["state"] for row in shop.rows()} == {"repaired"}
    shop.run("quarantine", "release", "transactions")

    assert shop.events() == good.events()
    for one in (shop, good):
        one.run("materialize", "--date", "2018-04-02")
    assert shop.online() == good.online()
    assert shop.rows() == []
    assert {row["state"] for row in shop.rows("--all")} == {"released"}
    told, _ = shop.run("quarantine", "release", "transactions")
    assert told == "no row of transactions waits in quarantine\n"
    assert shop.events() == good.events()


def test_a_row_that_breaks_a_rule_is_released_in_spite_of_it_by_name(shop: Shop) -> None:
    shop.take(spoilt(clean(2)))
    shown, told = shop.run("quarantine", "release", "transactions", status=65)
    assert shown == ""
    assert told.startswith("headrace: none of 1 row of transactions is an event yet (positive 1) (")
    both = ("--ignore", "positive", "--ignore", "known_country")
    shop.run("quarantine", "release", "transactions", *both)
    assert len(shop.events()) == 2
    (row,) = shop.rows("--all")
    assert row["state"] == "released"
    _, told = shop.run("quarantine", "release", "transactions", "--row", row["row"], status=78)
    assert told.startswith(f"headrace: row {row['row']} of transactions was released before (")
    (*_, recorded) = recorded_events(shop.settings.lineage.path)
    assert recorded["job"]["name"].endswith(".release.transactions")
    assert recorded["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 1


def test_rows_that_still_break_another_rule_stay_as_they_were_and_are_told(shop: Shop) -> None:
    rows = clean(6)
    rows[1] |= {"amount_minor": -5}
    rows[3] |= {"amount_minor": -5, "country": "XX"}
    rows[4] |= {"amount_minor": "5.0"}
    shop.take(rows)
    asked = ("transactions", "--set", "amount_minor=ABS(amount_minor)")
    told, _ = shop.run("quarantine", "repair", *asked)
    kept = {row["row_number"]: row for row in shop.rows()}
    assert {number: row["state"] for number, row in kept.items()} == {
        2: "repaired",
        4: "waiting",
        5: "waiting",
    }
    assert told == (
        "1 row repaired; to take in: headrace quarantine release transactions\n"
        "rows that stay as they were: 1 wrong_type, such as"
        f" {short(kept[5])}: amount_minor can't be set to 'ABS(amount_minor)':"
        " bad operand type for abs(): 'str'\n"
        "rows that stay as they were: 1 known_country, such as"
        f" {short(kept[4])}: breaks the rule known_country\n"
    )
    assert kept[4]["event"]["amount_minor"] == -5
    changed = [kept[4], kept[5] | {"event": kept[5]["event"] | {"amount_minor": 5}}]
    (shop.folder / "changed.json").write_text(json.dumps({"rows": changed}))
    edited = ("transactions", "--file", str(shop.folder / "changed.json"), "--json")
    told, _ = shop.run("quarantine", "repair", *edited)
    assert json.loads(told) == {
        "source": "transactions",
        "repaired": 1,
        "left": {
            "positive": {
                "rows": 1,
                "example": kept[4]["row"],
                "told": "breaks the rule positive; breaks the rule known_country",
            }
        },
    }
    told, _ = shop.run("quarantine", "repair", *edited, "--row", kept[4]["row"], status=65)
    assert json.loads(told)["repaired"] == 0
    told, _ = shop.run("quarantine", "repair", *edited[:3], "--reason", "null_key")
    assert told == ("no row of transactions with the reason null_key waits in quarantine\n")
    _, told = shop.run("quarantine", "repair", *edited[:3], "--row", kept[2]["row"], status=78)
    assert f"changed.json has no row {kept[2]['row']}" in told


def test_a_row_about_which_nothing_is_changed_is_told_by_the_reasons_that_it_is_kept_with(
    shop: Shop,
) -> None:
    header, row = ",".join(clean(1)[0]), ["" if v is None else str(v) for v in clean(1)[0].values()]
    row[header.split(",").index("amount_minor")] = str(2**70)
    file = shop.folder / "rows.csv"
    file.write_text(f"{header}\n{','.join(row)}\n")
    project, warehouse = load_project(shop.settings), Warehouse.of(shop.settings)
    source = project.source("transactions")
    ingest(shop.settings, project, str(file), source="transactions")
    rows = releasing.Rows(source, kept_rows(warehouse, source))
    assert [one.reasons for one in rows.kept] == [("integer_overflow",)]

    def repaired(**changes: Any) -> dict[str, str]:
        done = releasing.repair(
            shop.settings, project, rows, NOW_MS, lambda one: {**(one.event or {}), **changes}
        )
        return {code: left.told for code, left in done.left.items()}

    assert repaired() == {"integer_overflow": "nothing is changed about what it came with"}
    assert list(repaired(country="FR")) == ["null_value"]


def test_a_row_is_called_by_the_beginning_of_its_ingest(shop: Shop) -> None:
    shop.take(spoilt(clean(3)))
    shop.take(spoilt(clean(2)), "others.jsonl")
    first, second, third = shop.rows()
    told, _ = shop.run("quarantine", "list", "transactions")
    shown = [line.split()[1] for line in told.splitlines() if line.startswith("│ ") and ":" in line]
    assert shown[:1] == [short(first)]
    assert "rows.jsonl, 2" in told
    assert str(shop.folder) not in told
    assert shop.rows("--row", short(third)) == [third]
    both = [row for row in (first, second, third) if row["row_number"] == 2]
    assert len(both) == 2
    _, told = shop.run("quarantine", "release", "transactions", "--row", ":2", status=78)
    assert "no row ':2' of transactions waits" in told


def test_rows_of_a_rule_that_is_declared_no_more_are_found_by_it(shop: Shop) -> None:
    shop.take(spoilt(clean(4)))
    definitions = shop.folder / "ruled_definitions.py"
    rule = '    RowRule("positive", "amount_minor > 0", "an amount is nothing or less"),\n'
    definitions.write_text(DEFINITIONS.replace(rule, ""))
    assert [row["row_number"] for row in shop.rows("--reason", "positive")] == [2]


def test_a_record_that_is_released_into_the_table_is_found_by_its_offset(shop: Shop) -> None:
    project = load_project(shop.settings)
    source, warehouse = project.source("transactions"), Warehouse.of(shop.settings)
    contract = contract_of(source)
    sent = [transaction(0, country="DE"), transaction(7, country="DE", amount_minor=-5)]
    records = pa.table(
        {
            "partition": pa.array([0, 0], pa.int32()),
            "offset": [40, 41],
            "timestamp": pa.array([sent[1]["event_time"] * 1000] * 2, pa.timestamp("us", "UTC")),
            "value": [json.dumps(row).encode() for row in sent],
        }
    )
    (batch,) = records.to_batches()
    topic = TopicNow(source.topic, 1, {0: 40}, {0: 42})
    TopicTables(warehouse, contract, topic).take(Judge(contract).judged(batch), {0: 40})
    shop.run("quarantine", "release", "transactions", "--ignore", "positive")

    asked = ("--entity", "card_id=card-0", "--as-of", "2018-04-02T00:00:00Z", "--json")
    told, _ = shop.run("lineage", "spent:count_7d", *asked)
    used = json.loads(told)["events"]
    places = [(one["key"], one["topic"], one["partition"], one["offset"]) for one in used]
    assert places == [("tx-0", source.topic, 0, 40), ("tx-7", source.topic, 0, 41)]
    # A stream has set the record aside: the table doesn't pass it off as one that it has.
    assert has_other_events(warehouse, source)
    assert covered_offsets(warehouse, source) == {0: 42}


def test_a_row_that_arrives_otherwise_waits_no_more(shop: Shop) -> None:
    rows = clean(6)
    shop.take(spoilt(rows))
    assert len(shop.rows()) == 4
    shop.take(rows, "mended.jsonl")
    assert shop.rows() == []
    assert {row["state"] for row in shop.rows("--all")} == {"arrived"}
    assert len(shop.events()) == 6


def test_a_row_that_came_too_late_stays_so_whatever_it_is_repaired_to(shop: Shop) -> None:
    old = transaction(0, country="DE")
    file = write_json_lines(shop.folder / "old.jsonl", [old])
    project = load_project(shop.settings)
    two_years_later = old["event_time"] + 2 * 365 * 86_400_000
    ingest(shop.settings, project, str(file), source="transactions", arrived_ms=two_years_later)
    assert [row["reasons"] for row in shop.rows()] == [["on_time"]]
    shop.run("quarantine", "release", "transactions", status=65)
    shop.run("quarantine", "release", "transactions", "--ignore", "on_time")
    assert len(shop.events()) == 1


def test_a_release_that_is_killed_between_table_and_note_takes_nothing_in_twice(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.take(spoilt(clean(8)))
    times = ("--reason", "event_time_wrong_unit", "--set", "event_time=event_time * 1000")
    shop.run("quarantine", "repair", "transactions", *times)
    project = load_project(shop.settings)
    source, warehouse = project.source("transactions"), Warehouse.of(shop.settings)

    def asked() -> releasing.Rows:
        reasons = {"event_time_wrong_unit"}
        return releasing.Rows(source, kept_rows(warehouse, source, reasons=reasons))

    rows = asked()
    with monkeypatch.context() as dying:
        dying.setattr(releasing, "note", _killed)
        with pytest.raises(KeyboardInterrupt):
            releasing.release(shop.settings, project, rows, NOW_MS)
    before = shop.events()
    assert len(before) == 5
    assert {row.state for row in asked().kept} == {RowState.ARRIVED}
    # Who had chosen the rows before that goes on.
    again = releasing.release(shop.settings, project, rows, NOW_MS)
    assert (again.taken_in, again.duplicates) == (0, 2)
    assert shop.events() == before
    assert {row.state for row in asked().kept} == {RowState.RELEASED}


def test_a_day_is_set_aside_once_wherever_that_is_killed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.take(clean(40))
    before = shop.events()
    source = load_project(shop.settings).source("transactions")
    warehouse, day = Warehouse.of(shop.settings), date(2018, 4, 2)
    with monkeypatch.context() as dying:
        dying.setattr(DeltaTable, "delete", _killed)
        with pytest.raises(KeyboardInterrupt):
            set_aside(warehouse, source, day)
    assert shop.events() == before
    assert {row["state"] for row in shop.rows("--all")} == {"arrived"}
    told, _ = shop.run("quarantine", "day", "transactions", "--date", "2018-04-02")
    assert told == (
        "16 rows of 2018-04-02 moved into quarantine, out of bronze.transactions; to bring the day"
        " back: headrace ingest --again --source transactions --file FILE with mended files alone,"
        " or headrace quarantine repair transactions and headrace quarantine release transactions,"
        " each with --reason set_aside; it is judged again by headrace run daily --date"
        " 2018-04-02\n"
    )
    assert len(shop.rows("--all")) == 16
    assert [row[0] for row in shop.events()] == [row[0] for row in before if row[-1] != day]
    assert set_aside(warehouse, source, day) == 0
    _, error = shop.run("quarantine", "day", "transactions", "--date", "2018-04-02", status=78)
    assert error == (
        "headrace: bronze.transactions has no rows of 2018-04-02; its days are from 2018-04-01 to"
        " 2018-04-01 (taken out before: headrace quarantine list transactions --reason set_aside)\n"
    )
    shop.run("quarantine", "release", "transactions")
    assert shop.events() == before


def test_a_mended_file_that_came_before_its_day_was_set_aside_comes_in_again_when_told(
    shop: Shop,
) -> None:
    bad = [row | {"amount_minor": 7} for row in clean(4)]
    shop.take(bad, "bad.jsonl")
    # Two of its rows come in, the others have keys of bad ones.
    shop.take(clean(6), "mended.jsonl")
    shop.run("quarantine", "day", "transactions", "--date", "2018-04-01")
    assert shop.events() == []
    files = {name: ("--file", str(shop.folder / f"{name}.jsonl")) for name in ("bad", "mended")}
    asked = ("ingest", "--source", "transactions")
    told, _ = shop.run(*asked, *files["mended"])
    assert (
        "rows of transactions that were set aside wait in quarantine: files that were taken in"
        " before bring theirs back by headrace ingest --again\n"
    ) in told
    assert shop.events() == []

    for ingested in (6, 0):
        told, _ = shop.run(*asked, *files["mended"], "--again", "--json")
        (source,) = json.loads(told)["sources"]
        assert (source["ingested"], source["already_ingested"]) == (ingested, 6 - ingested)
        assert not source["set_aside_waits"]
    assert [row[4] for row in shop.events()] == [row["amount_minor"] for row in clean(6)]
    assert shop.rows() == []
    # What is scanned as on every day leaves both files where they are.
    for file in files.values():
        told, _ = shop.run(*asked, *file, "--json")
        (source,) = json.loads(told)["sources"]
        assert source["already_ingested"] == source["rows"]


def test_where_nothing_but_duplicates_came_it_is_told_how_rows_are_changed(shop: Shop) -> None:
    told = "duplicates have keys that bronze.transactions or earlier rows have"
    asked = ("ingest", "--source", "transactions", "--file")

    def taken(rows: list[Row], name: str) -> str:
        return shop.run(*asked, str(write_json_lines(shop.folder / name, rows)))[0]

    assert told not in taken(clean(4), "first.jsonl")
    assert told not in taken(clean(6), "more.jsonl")
    (line,) = (
        line
        for line in taken([row | {"amount_minor": 7} for row in clean(6)], "other.jsonl").split(
            "\n"
        )
        if line.startswith(told)
    )
    assert line.endswith(
        "to change rows of a day: headrace quarantine day transactions --date D, then headrace"
        " ingest --again with mended files alone"
    )
    # What is left out as it was taken in before is no duplicate.
    assert told not in taken(clean(6), "more.jsonl")


def test_topics_are_not_taken_in_again(shop: Shop) -> None:
    asked = ("--date", "2018-04-01", "--source", "transactions")
    with (shop.folder / "headrace.toml").open("a") as settings:
        settings.write('[ingest]\ntransactions = "kafka"\n')
    for options in (("--from-kafka",), asked):
        _, told = shop.run("ingest", *options, "--again", status=78)
        assert told.startswith("headrace: --again can't go with --")
        assert "come back by headrace quarantine release" in told


def test_a_day_that_is_set_aside_again_loses_nothing(shop: Shop) -> None:
    shop.take(clean(40))
    before = shop.events()
    for _ in range(2):
        shop.run("quarantine", "day", "transactions", "--date", "2018-04-02")
        assert len(shop.events()) == 24
        assert len(shop.rows()) == 16
        shop.run("quarantine", "release", "transactions")
        assert shop.events() == before


def test_a_release_that_was_never_noted_is_done_again_where_its_rows_were_taken_out(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.take(spoilt(clean(8)))
    times = ("--reason", "event_time_wrong_unit", "--set", "event_time=event_time * 1000")
    shop.run("quarantine", "repair", "transactions", *times)
    project = load_project(shop.settings)
    source, warehouse = project.source("transactions"), Warehouse.of(shop.settings)
    asked = kept_rows(warehouse, source, reasons={"event_time_wrong_unit"})
    with monkeypatch.context() as dying:
        dying.setattr(releasing, "note", _killed)
        with pytest.raises(KeyboardInterrupt):
            releasing.release(shop.settings, project, releasing.Rows(source, asked), NOW_MS)
    before = shop.events()
    shop.run("quarantine", "day", "transactions", "--date", "2018-04-01")
    assert shop.events() == []
    # Two rows are there twice: as they were kept first, and as they were taken out.
    told, _ = shop.run("quarantine", "release", "transactions")
    assert "5 rows taken in" in told
    assert "2 rows had arrived otherwise" in told
    assert shop.events() == before


def test_of_two_rows_with_one_key_none_is_released_unless_it_is_chosen(shop: Shop) -> None:
    shop.take(clean(4))
    shop.run("quarantine", "day", "transactions", "--date", "2018-04-01")
    shop.take([row | {"amount_minor": 7} for row in clean(4)], "mended.jsonl")
    shop.run("quarantine", "day", "transactions", "--date", "2018-04-01")
    assert len(shop.rows()) == 8
    _, told = shop.run("quarantine", "release", "transactions", status=65)
    assert "same_key 8" in told
    mended = [row["row"] for row in shop.rows() if row["event"]["amount_minor"] == 7]
    chosen = [option for row in mended for option in ("--row", row)]
    shop.run("quarantine", "release", "transactions", *chosen)
    assert shop.rows() == []
    assert len(shop.events()) == 4


def test_a_day_of_which_more_came_since_setting_it_aside_was_killed_is_released_as_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.take(clean(36))
    source = load_project(shop.settings).source("transactions")
    warehouse, day = Warehouse.of(shop.settings), date(2018, 4, 2)
    with monkeypatch.context() as dying:
        dying.setattr(DeltaTable, "delete", _killed)
        with pytest.raises(KeyboardInterrupt):
            set_aside(warehouse, source, day)
    shop.take(clean(40), "more.jsonl")
    before = shop.events()
    assert set_aside(warehouse, source, day) == 16
    told, _ = shop.run("quarantine", "release", "transactions", "--json")
    assert json.loads(told) == {
        "source": "transactions",
        "sent": 0,
        "taken_in": 16,
        "duplicates": 12,
        "left": {},
    }
    assert shop.events() == before
    assert shop.rows() == []


def test_rows_of_which_nothing_could_be_read_stay_as_they_were_in_a_file_of_repairs(
    shop: Shop,
) -> None:
    file = write_json_lines(shop.folder / "rows.jsonl", spoilt(clean(2)))
    with file.open("a") as lines:
        lines.write("no JSON\n")
    shop.run("ingest", "--source", "transactions", "--file", str(file))
    rows = shop.rows()
    assert [row["event"] is None for row in rows] == [False, True]
    rows[0]["event"] |= {"amount_minor": 5, "country": "DE"}
    (shop.folder / "edited.json").write_text(json.dumps({"rows": rows}))
    edited = ("transactions", "--file", str(shop.folder / "edited.json"))
    told, _ = shop.run("quarantine", "repair", *edited)
    assert told.startswith("1 row repaired;")
    assert "rows that stay as they were: 1 undecodable, such as" in told


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_what_is_asked_wrongly_is_said_in_one_line(shop: Shop) -> None:
    shop.take(spoilt(clean(2)))
    (row,) = shop.rows()

    def told(*arguments: str, status: int = 78) -> str:
        _, error = shop.run("quarantine", *arguments, status=status)
        assert error.count("\n") == 1
        return error

    assert "unknown source 'transaction'" in told("list", "transaction")
    assert "no row 'x:1' of transactions waits" in told("release", "transactions", "--row", "x:1")
    for command in ("list", "release"):
        asked = told(command, "transactions", "--reason", "nul_key")
        assert "unknown reason of transactions 'nul_key', did you mean 'null_key'?" in asked
    assert "needs either --set or --file" in told("repair", "transactions")
    assert "'amount_minor' sets nothing" in told("repair", "transactions", "--set", "amount_minor")
    assert "unknown column of Transaction 'amount'" in told(
        "repair", "transactions", "--set", "amount=1"
    )
    assert "'1' is int64, expected string" in told("repair", "transactions", "--set", "currency=1")
    assert "unknown rule of transactions 'positiv'" in told(
        "release", "transactions", "--ignore", "positiv"
    )
    still = told("repair", "transactions", "--set", "amount_minor=0 - 5", status=65)
    assert (
        f"none of 1 row of transactions would be an event: 1 positive, such as {short(row)}:"
        " breaks the rule positive; breaks the rule known_country (none of them was changed)"
    ) in still
    assert "--date: 2999-01-01 has not begun" in told("day", "transactions", "--date", "2999-01-01")
    assert "2099-01-01 has not begun" in told("day", "transactions", "--date", "2099-01-01")
    nothing = shop.folder / "nothing.json"
    nothing.write_text("[]")
    assert "is not what headrace quarantine list --json prints" in told(
        "repair", "transactions", "--file", str(nothing)
    )
    assert shop.rows() == [row]
