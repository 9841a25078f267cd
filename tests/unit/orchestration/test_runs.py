"""Runs as data: what they do, in which order, and the document that schedulers read."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Collection
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from headrace_features import ReferenceRule
from headrace_features.project import load_project
from headrace_orchestration.runs.daily import daily_features
from headrace_orchestration.runs.document import document_of
from headrace_orchestration.runs.graph import Graph, Task, filled
from headrace_orchestration.runs.kappa import kappa_replay
from headrace_orchestration.runs.running import done_one_by_one
from headrace_orchestration.scaffold import create_project
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import load


def daily(folder: Path, gated: Collection[str] = (), **environ: str) -> Graph:
    settings = load(folder, environ)
    return daily_features(settings, load_project(settings), gated)


def names(graph: Graph) -> list[str]:
    return [task.name for task in graph.tasks]


def task(graph: Graph, name: str) -> Task:
    (found,) = (one for one in graph.tasks if one.name == name)
    return found


def test_a_day_is_taken_in_gated_computed_gated_published_and_probed(tmp_path: Path) -> None:
    graph = daily(tmp_path, gated=("transactions", "card_activity"))
    order = [
        "ingest_transactions",
        "validate_transactions",
        "backfill_card_activity",
        "validate_history_card_activity",
        "materialize_card_activity",
        "probe_card_activity",
    ]
    assert [name for name in names(graph) if name in order] == order
    for before, name in pairwise(order):
        assert task(graph, name).after == (before,)
    assert task(graph, order[0]).after == ()
    assert task(graph, "validate_transactions").command == (
        *("validate", "transactions", "--date", "{date}"),
    )


def test_nothing_stands_at_a_gate_that_has_no_rules(tmp_path: Path) -> None:
    graph = daily(tmp_path)
    assert not [name for name in names(graph) if name.startswith("validate")]
    assert task(graph, "backfill_terminal_risk").after == ("ingest_transaction_labels",)
    assert task(graph, "materialize_terminal_risk").after == ("backfill_terminal_risk",)


def test_all_events_are_taken_in_before_any_are_judged(tmp_path: Path) -> None:
    found = names(daily(tmp_path, gated=("transactions", "transaction_labels")))
    assert {one.partition("_")[0] for one in found[:2]} == {"ingest"}
    assert {one.partition("_")[0] for one in found[2:4]} == {"validate"}


def test_a_source_that_brings_no_events_of_days_is_held_by_its_newest(tmp_path: Path) -> None:
    places = json.dumps({"transactions": "all.parquet", "transaction_labels": "none"})
    gated = ("transactions", "transaction_labels")
    graph = daily(tmp_path, gated, HEADRACE_INGEST=places)
    assert [name for name in names(graph) if name.startswith("ingest")] == ["ingest_transactions"]
    for source in gated:
        assert task(graph, f"validate_{source}").command == ("validate", source)
    assert task(graph, "validate_transactions").after == ("ingest_transactions",)
    assert task(graph, "validate_transaction_labels").after == ()


def test_what_is_made_of_a_table_that_somebody_fills_waits_for_nothing(tmp_path: Path) -> None:
    graph = daily(tmp_path, HEADRACE_INGEST='{"transaction_labels": "none"}')
    assert task(graph, "backfill_terminal_risk").after == ()
    assert task(graph, "materialize_terminal_risk").after == ("backfill_terminal_risk",)


def test_a_source_whose_rules_refer_to_another_is_taken_in_after_it(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    project = load_project(settings)
    known = ReferenceRule("known", "transaction_id", to="transactions", to_column="transaction_id")
    labels = replace(project.source("transaction_labels"), rules=[known])
    referring = replace(project, sources={**project.sources, labels.name: labels})
    graph = daily_features(settings, referring, ("transactions",))
    assert names(graph)[0] == "ingest_transactions"
    assert task(graph, "ingest_transaction_labels").after == ("ingest_transactions",)


def test_a_view_that_the_stream_alone_keeps_has_a_history_and_no_boundary(tmp_path: Path) -> None:
    modes = '{"card_activity": "kappa"}'
    found = names(daily(tmp_path, HEADRACE_PROJECT_MODES=modes))
    assert [name for name in found if "card_activity" in name] == ["backfill_card_activity"]
    assert "materialize_terminal_risk" in found


def test_tasks_name_the_tables_that_they_read_and_write(tmp_path: Path) -> None:
    graph = daily(tmp_path, HEADRACE_WAREHOUSE_PATH="s3://lake/tables")
    (written,) = task(graph, "ingest_transactions").writes
    assert written.uri == "s3://lake/tables/bronze/transactions"
    backfill = task(graph, "backfill_card_activity")
    assert backfill.reads == (written,)
    assert backfill.writes[0].name == "fraud.features.card_activity_v1"
    (online,) = task(graph, "materialize_card_activity").writes
    assert online in task(graph, "probe_card_activity").reads


@pytest.mark.parametrize(
    ("engine", "master", "submitted"),
    [
        ("spark", "spark://head:7077", {"ingest", "backfill", "materialize"}),
        ("spark", "local[2]", set()),
        ("local", "spark://head:7077", set()),
    ],
)
def test_what_computes_is_submitted_where_a_cluster_is_set(
    engine: str, master: str, submitted: set[str], tmp_path: Path
) -> None:
    graph = daily(tmp_path, HEADRACE_ENGINE_DEFAULT=engine, HEADRACE_SPARK_MASTER=master)
    on_spark = {one.name.partition("_")[0] for one in graph.tasks if one.on_spark}
    assert on_spark == submitted


@pytest.mark.parametrize("end", ["exit 130", "kill -INT $$"])
def test_a_task_that_is_interrupted_interrupts_the_run(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted = tmp_path / "interrupted"
    interrupted.write_text(f"#!/bin/sh\n{end}\n")
    interrupted.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interrupted))
    begun: list[Task] = []
    run = done_one_by_one(daily(tmp_path), date(2018, 4, 9), tmp_path / "logs/a.log", begun.append)
    with pytest.raises(KeyboardInterrupt):
        list(run)
    assert len(begun) == 1


def test_a_version_is_promoted_after_its_parity_and_somebody_s_word(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    graph = kappa_replay(settings, load_project(settings))
    assert names(graph) == ["replay", "parity", "approve", "promote"]
    approve = task(graph, "approve")
    assert (approve.approves, approve.command) == ("parity", ())
    assert task(graph, "promote").after == ("approve",)
    assert {one.name: one.choices for one in graph.parameters} == {
        "view": ("card_activity", "terminal_risk"),
        "version": (),
        "accept": (),
    }


def test_a_task_before_one_that_it_needs_is_refused() -> None:
    first, second = Task(name="first", tells="", after=("second",)), Task(name="second", tells="")
    with pytest.raises(ConfigurationError, match="first can't come after"):
        Graph(name="run", tells="", tasks=(first, second))
    with pytest.raises(ConfigurationError, match="second"):
        Graph(name="run", tells="", tasks=(second, second))


def test_values_stand_where_commands_name_them() -> None:
    assert filled(("a", "--date", "{date}", "{other}"), {"date": "2024-05-31"}) == [
        *("a", "--date", "2024-05-31", "{other}"),
    ]


def test_the_document_names_every_file_that_it_follows_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = create_project("orchard", tmp_path, 1_700_000_000_000).folder
    beside = folder / "orchard_windows.py"
    beside.write_text("WEEK = '7d'\n")
    definitions = folder / "orchard_definitions.py"
    definitions.write_text(definitions.read_text() + "\nfrom orchard_windows import WEEK\n")
    settings = load(folder, {})
    document = document_of(settings, load_project(settings))
    assert document["home"] == str(folder / ".headrace")
    assert document["lineage"] == str(folder / ".headrace/lineage")
    made_from = document["made_from"]
    for path in (folder / "headrace.toml", definitions, beside):
        assert made_from[str(path)] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [path for path in made_from if path.endswith("runs/daily.py")]
    assert not [path for path in made_from if "site-packages" in path]
    run, *others = document["runs"]
    assert [one["name"] for one in others] == ["kappa_replay", "maintenance"]
    assert json.loads(json.dumps(document)) == document
    assert run["tasks"][0]["command"] == ["ingest", "--date", "{date}", "--source", "activity"]
