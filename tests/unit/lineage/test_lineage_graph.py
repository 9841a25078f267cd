"""Events of many runs, ours and those of others, become one graph of data and jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headrace_features.lineage.places import Place
from headrace_orchestration.lineage.graph import graph_of
from headrace_orchestration.lineage.nodes import recorded_above, recorded_below
from headrace_orchestration.lineage.runs import Job, read_events, runs_of

TOPIC = Place("kafka://broker:9092", "visits")
BRONZE = Place("file", "/lake/bronze/visits")
CATALOGUE = Place("hive://metastore", "bronze.visits")
FEATURES = Place("s3://lake", "features/shop_v1")


def dataset(place: Place, **facets: Any) -> dict[str, Any]:
    return {"namespace": place.namespace, "name": place.name, "facets": facets}


def event(  # noqa: PLR0913, PLR0917 - what an event tells
    run: str,
    job: str,
    state: str,
    second: int,
    reads: tuple[dict[str, Any], ...] = (),
    writes: tuple[dict[str, Any], ...] = (),
    **run_facets: Any,
) -> dict[str, Any]:
    kind = {"jobType": {"processingType": "STREAMING" if job == "stream" else "BATCH"}}
    return {
        "eventType": state,
        "eventTime": f"2026-11-27T17:40:{second:02}+00:00",
        "run": {"runId": run, "facets": run_facets},
        "job": {"namespace": "tests", "name": job, "facets": kind},
        "inputs": list(reads),
        "outputs": list(writes),
    }


def ingest(run: str, second: int, ends: str = "COMPLETE", place: Place = BRONZE) -> list[Any]:
    return [
        event(run, "ingest", "START", second, (dataset(TOPIC),), (dataset(place),)),
        event(run, "ingest", ends, second + 1, (dataset(TOPIC, a={"x": 1}),), (dataset(place),)),
    ]


def names(nodes: Any) -> Any:
    return {one.name: names(one.following) for one in nodes}


def test_a_run_is_what_all_of_its_events_tell_in_whatever_order_they_came() -> None:
    parent = {"run": {"runId": "above"}, "job": {"namespace": "airflow", "name": "daily.ingest"}}
    began, ended = ingest("1", 3)
    began["run"]["facets"] = {"parent": parent}
    (run,) = runs_of([ended, began])
    assert (run.job, run.run, run.state) == (Job("tests", "ingest"), "1", "COMPLETE")
    assert (run.began, run.ended) == ("2026-11-27T17:40:03+00:00", "2026-11-27T17:40:04+00:00")
    assert run.parent == (Job("airflow", "daily.ingest"), "above")
    assert run.reads[TOPIC] == {"a": {"x": 1}}


def test_data_is_followed_over_several_runs_in_both_directions() -> None:
    events = [
        *ingest("1", 1),
        event("2", "backfill", "COMPLETE", 5, (dataset(BRONZE),), (dataset(FEATURES),)),
    ]
    graph = graph_of(runs_of(events))
    assert names(recorded_above(graph, FEATURES)) == {BRONZE.name: {TOPIC.name: {}}}
    assert names(recorded_below(graph, TOPIC)) == {BRONZE.name: {FEATURES.name: {}}}
    assert names(recorded_above(graph, FEATURES, [BRONZE])) == {}


def test_a_table_with_two_names_is_one() -> None:
    named = {
        "identifiers": [{"namespace": CATALOGUE.namespace, "name": CATALOGUE.name, "type": "TABLE"}]
    }
    events = [
        *ingest("1", 1),
        event("2", "other", "COMPLETE", 5, (dataset(BRONZE, symlinks=named),), ()),
        event("3", "spark", "COMPLETE", 7, (dataset(CATALOGUE),), (dataset(FEATURES),)),
    ]
    graph = graph_of(runs_of(events))
    assert names(recorded_above(graph, FEATURES)) == {BRONZE.name: {TOPIC.name: {}}}
    assert graph.named(CATALOGUE) == BRONZE


def test_the_newest_run_of_a_job_counts_and_one_that_failed_made_nothing() -> None:
    events = [*ingest("1", 1), *ingest("2", 3), *ingest("3", 5, "FAIL"), *ingest("4", 7, "ABORT")]
    graph = graph_of(runs_of(events))
    assert [run.run for run in graph.writers[BRONZE].values()] == ["2"]


def test_a_run_that_only_began_has_made_nothing_unless_it_goes_on_for_ever() -> None:
    began, _ = ingest("1", 1)
    stream = event("2", "stream", "START", 3, (dataset(TOPIC),), (dataset(FEATURES),))
    graph = graph_of(runs_of([began, stream]))
    assert set(graph.writers) == {FEATURES}


def test_circles_end() -> None:
    there = event("1", "there", "COMPLETE", 1, (dataset(BRONZE),), (dataset(FEATURES),))
    back = event("2", "back", "COMPLETE", 2, (dataset(FEATURES),), (dataset(BRONZE),))
    graph = graph_of(runs_of([there, back]))
    assert names(recorded_above(graph, BRONZE)) == {FEATURES.name: {}}


def test_what_is_no_event_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    good = json.dumps(ingest("1", 1)[1])
    (tmp_path / "airflow.ndjson").write_text(f"{good}\nnothing\n[1]\n{{}}\n{good[:40]}")
    (tmp_path / "other.txt").write_text(good)
    assert len(list(read_events(tmp_path))) == 1
    assert list(read_events(tmp_path / "none")) == []
