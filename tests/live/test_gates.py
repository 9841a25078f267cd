"""Days of tables held to their gates, by the command and before boundaries move."""

from __future__ import annotations

import json
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from headrace_batch.quality import checkpoint, verdicts
from headrace_batch.warehouse import Warehouse
from headrace_features.project import load_project
from headrace_schemas.settings import Settings, load
from ingestion import transaction, write_json_lines
from lineage_events import recorded_events, told
from streams import headrace

DEFINITIONS = """
from headrace_features import Drift, Fresh, Gate, Nulls, Unique, Volume
from headrace_features.fraud.definitions import card_activity, transactions

events = Gate(transactions, [
    Volume(at_least=0.6, at_most=1.5, of_last=3),
    Unique(["card_id", "event_time"]),
    Fresh("2h"),
    Nulls("country", at_most=0.4),
    Drift("amount_minor", "usual"),
    Drift("country", "usual"),
])
features = Gate(card_activity, [Nulls("amount_minor_mean_7d", at_most=0.0)])
"""
DAYS = ("2018-04-01", "2018-04-02", "2018-04-03", "2018-04-04", "2018-04-05")
DAY = 24


class Lake:
    """A project with gates, and what is in its lake."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "headrace.toml").write_text(
            '[project]\nname = "gated"\ndefinitions = ["gated_definitions"]\n'
        )
        (folder / "gated_definitions.py").write_text(DEFINITIONS)
        self.settings: Settings = load(folder, {})

    def take(self, first: int, after: int, step: int = 1, **changes: Any) -> None:
        """Take transactions in, one an hour."""
        rows = [
            transaction(number, **_of(number) | changes) for number in range(first, after, step)
        ]
        file = write_json_lines(self.folder / f"{first}-{after}-{step}.jsonl", rows)
        self.run("ingest", "--source", "transactions", "--file", str(file))

    def run(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = headrace(self.folder / ".headrace", *arguments, folder=self.folder, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def verdicts(self, *arguments: str, status: int = 0) -> list[dict[str, Any]]:
        done = self.run("validate", *arguments, "--json", status=status)
        found: list[dict[str, Any]] = json.loads(done.stdout)["verdicts"]
        return found


def _of(number: int) -> dict[str, Any]:
    """Amounts and countries that are spread alike on every day."""
    hour = number % DAY
    return {"amount_minor": 100 + 37 * hour % 240, "country": ("DE", "FR", None)[hour % 3]}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    lake.take(0, 4 * DAY)
    lake.run(
        "baseline", "set", "usual", "--of", "transactions", "--start", DAYS[0], "--end", DAYS[2]
    )
    return lake


def measured(verdict: dict[str, Any]) -> dict[str, float]:
    return {one["rule"]: one["value"] for one in verdict["rules"]}


def test_a_day_as_usual_passes_and_data_docs_show_it(lake: Lake) -> None:
    (verdict,) = lake.verdicts("transactions", "--date", DAYS[3])
    assert verdict["passes"]
    assert verdict["rows"] == DAY
    assert measured(verdict) == {
        "volume": 1.0,
        "duplicates(card_id, event_time)": 0.0,
        "freshness": 1.0,
        "nulls(country)": pytest.approx(1 / 3),
        "drift(amount_minor, usual)": 0.0,
        "drift(country, usual)": 0.0,
    }
    (*_, recorded) = recorded_events(lake.settings.lineage.path)
    assert recorded["job"]["name"] == "gated.validate.transactions"
    facts = {"day": DAYS[3], "passes": "true", "broken": "", "accepted": ""}
    assert told(recorded, "headrace_facts", "inputs") == {"facts": facts}
    page = Path(verdict["docs"])
    assert "bronze" in page.read_text()
    shown = list(page.parent.glob(f"validations/bronze/transactions/{DAYS[3]}/*/*.html"))
    assert len(shown) == 1
    text = shown[0].read_text()
    assert "drift(amount_minor, usual)" in text
    assert (
        "2018-04-04: 1 times the mean, expected 0.6 to 1.5"
        " (24 rows, 24 a day in the last 3 with any)"
    ) in text


def test_a_first_day_has_no_volume_to_compare_with(lake: Lake) -> None:
    (verdict,) = lake.verdicts("transactions", "--date", DAYS[0])
    assert measured(verdict)["volume"] is None
    assert verdict["passes"]


def test_a_day_that_fails_stops_the_boundary_until_it_is_mended_or_let_pass(lake: Lake) -> None:
    lake.run("materialize", "--view", "card_activity", "--date", DAYS[3])
    before = lake.settings.online.path.read_bytes()
    lake.take(4 * DAY, 5 * DAY, step=2, amount_minor=100_000)
    failed = lake.run("validate", "transactions", status=65)
    assert failed.stderr.count("\n") == 1
    assert "bronze.transactions of 2018-04-05 fails its gate: volume is 0.5 times the mean" in (
        failed.stderr
    )
    assert "drift(amount_minor, usual) is" in failed.stderr
    refused = lake.run("materialize", "--view", "card_activity", status=65)
    assert "fails its gate" in refused.stderr
    assert lake.settings.online.path.read_bytes() == before

    accepted = ("transactions", "--date", DAYS[4], "--accept", "<b>holiday</b> for $5")
    (verdict,) = lake.verdicts(*accepted)
    assert verdict["accepted"] == "<b>holiday</b> for $5"
    pages = Path(verdict["docs"]).parent / "validations" / "bronze" / "transactions" / DAYS[4]
    # What failed before stays there.
    failure, passed = (page.read_text() for page in sorted(pages.glob("*/*.html")))
    assert "the day is let pass: &lt;b&gt;holiday&lt;/b&gt; for $5" in passed
    assert "the day is let pass" not in failure
    # Judged again, it still passes; with other rows it doesn't.
    assert lake.verdicts("transactions", "--date", DAYS[4])[0]["passes"]
    lake.take(4 * DAY + 1, 4 * DAY + 2)
    assert not lake.verdicts("transactions", "--date", DAYS[4], status=65)[0]["passes"]
    lake.run("materialize", "--view", "card_activity", status=65)
    lake.verdicts(*accepted)
    lake.run("materialize", "--view", "card_activity")
    assert lake.settings.online.path.read_bytes() != before


def test_an_acceptance_does_not_hold_for_other_rows_of_the_same_number(lake: Lake) -> None:
    lake.take(4 * DAY, 5 * DAY, amount_minor=100_000)
    lake.verdicts("transactions", "--date", DAYS[4], "--accept", "sales")
    lake.run("quarantine", "day", "transactions", "--date", DAYS[4])
    lake.take(4 * DAY, 5 * DAY, amount_minor=200_000)
    lake.run("materialize", "--view", "card_activity", status=65)
    lake.run("quarantine", "day", "transactions", "--date", DAYS[4])
    lake.take(4 * DAY, 5 * DAY)
    lake.run("materialize", "--view", "card_activity")


def test_an_acceptance_holds_that_is_given_while_the_day_is_judged(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.take(4 * DAY, 5 * DAY, step=2)
    project = load_project(load(lake.folder, {}))
    gate, day = project.gates["transactions"], date.fromisoformat(DAYS[4])

    def judge_beside(*arguments: Any) -> Any:
        monkeypatch.undo()
        (accepted,) = lake.verdicts("transactions", "--date", DAYS[4], "--accept", "holiday")
        assert accepted["accepted"] == "holiday"
        return checkpoint.judge(*arguments)

    monkeypatch.setattr("headrace_batch.quality.verdicts.judge", judge_beside)
    verdict = verdicts.validate(lake.settings, gate, day, now_ms=1)
    assert verdict.broken
    assert verdict.accepted == "holiday"
    lake.run("materialize", "--view", "card_activity")
    (shown,) = lake.verdicts("transactions", "--date", DAYS[4])
    assert shown["accepted"] == "holiday"


def test_a_day_that_nobody_has_judged_is_judged_before_the_boundary_moves(lake: Lake) -> None:
    lake.take(4 * DAY, 4 * DAY + 6)
    refused = lake.run("materialize", "--view", "card_activity", status=65)
    assert "freshness is 19 hours before the end of the day, expected at most 2" in refused.stderr
    assert not lake.settings.online.path.exists()


def test_the_features_of_a_day_are_held_to_the_gate_of_their_view(lake: Lake) -> None:
    lake.run("backfill", "--view", "card_activity")
    (verdict,) = lake.verdicts("card_activity", "--date", DAYS[1])
    assert measured(verdict) == {"nulls(amount_minor_mean_7d)": 0.0}
    assert {one["of"] for one in lake.verdicts("--date", DAYS[3])} == {
        "transactions",
        "card_activity",
    }


def test_what_is_asked_wrongly_is_said_in_one_line(lake: Lake) -> None:
    def told(*arguments: str) -> str:
        done = lake.run(*arguments, status=78)
        assert done.stderr.count("\n") == 1
        return done.stderr

    assert "unknown source, view or training set 'transaction', did you mean" in told(
        "validate", "transaction"
    )
    assert "--date: 2099-01-01 has not begun" in told("validate", "--date", "2099-01-01")
    assert "--accept takes a reason" in told("validate", "transactions", "--accept", "so what")
    assert "no rule of the gate of transactions compares with a baseline 'other'" in told(
        *("baseline", "set", "other", "--of", "transactions", "--start", DAYS[0], "--end", DAYS[0])
    )
    assert "bronze.transactions has no rows from 2019-01-01 to 2019-01-02" in told(
        *("baseline", "set", "usual", "--of", "transactions"),
        *("--start", "2019-01-01", "--end", "2019-01-02"),
    )
    days = ("--start", DAYS[0], "--end", DAYS[0])
    assert (
        "unknown source, view or training set 'transaction', did you mean 'transactions'?"
        in told("baseline", "set", "usual", "--of", "transaction", *days)
    )


def test_a_baseline_that_does_not_exist_is_named_with_how_to_make_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.take(0, DAY)
    done = lake.run("validate", "transactions", status=78)
    assert done.stderr == (
        "headrace: there is no baseline 'usual' for transactions, with which its gate compares"
        " amount_minor (make it of good days: headrace baseline set usual --of transactions"
        " --start YYYY-MM-DD --end YYYY-MM-DD)\n"
    )
    assert not Warehouse.of(lake.settings).exists("quality.verdicts")
    command = "headrace baseline set usual --of transactions --start YYYY-MM-DD --end YYYY-MM-DD"
    planned = lake.run("plan")
    assert "! baseline usual: missing, the gate of transactions compares with it" in planned.stdout
    assert f"to do: {command}" in planned.stdout
    entries = json.loads(lake.run("plan", "--json").stdout)
    assert [one for one in entries if "baseline" in one] == [
        {"baseline": "usual", "of": "transactions", "change": "missing", "command": command}
    ]


def test_what_can_be_judged_is_shown_beside_what_can_not(lake: Lake) -> None:
    done = lake.run("validate", "--json", status=78)
    report = json.loads(done.stdout)
    (verdict,) = report["verdicts"]
    assert (verdict["of"], verdict["passes"]) == ("transactions", True)
    (missing,) = report["not_judged"]
    assert missing["of"] == "card_activity"
    assert missing["told"].startswith("there is no table features.card_activity_v1")
    assert done.stderr == f"headrace: {missing['told']}\n"
    assert '"baseline"' not in lake.run("plan", "--json").stdout

    failed = lake.run("validate", "--date", DAYS[4], status=65)
    assert failed.stdout.startswith("no rows of 2018-04-05 are in bronze.transactions\n")
    assert "card_activity is not judged: there is no table" in failed.stdout
    assert failed.stderr.startswith(
        "headrace: no rows of 2018-04-05 have come into bronze.transactions, which fails its gate:"
        " volume is 0 times the mean, expected 0.6 to 1.5 (no rows, 24 a day in the last 3 with"
        " any); freshness is 24 hours before the end of the day, expected at most 2 (no rows)"
    )
    (empty,) = lake.verdicts("transactions", "--date", DAYS[4], status=65)
    assert measured(empty) == {
        "volume": 0.0,
        "duplicates(card_id, event_time)": None,
        "freshness": 24.0,
        "nulls(country)": None,
        "drift(amount_minor, usual)": None,
        "drift(country, usual)": None,
    }


def test_a_project_without_gates_passes(tmp_path: Path) -> None:
    done = headrace(tmp_path, "validate")
    assert done.stdout == "no gate is declared: see Gate in the README\n"
    named = headrace(tmp_path, "validate", "transactions")
    assert named.stdout == "transactions has no gate\n"
    report = json.loads(headrace(tmp_path, "validate", "transactions", "--json").stdout)
    assert report == {"verdicts": [], "not_judged": [], "without_gate": ["transactions"]}
