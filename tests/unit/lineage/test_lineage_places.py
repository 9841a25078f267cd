"""Data is called what OpenLineage's naming says, whoever tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_features.lineage.places import Place, file_place, store_place, topic_place
from headrace_schemas.settings import load


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/lake/bronze/visits", ("file", "/lake/bronze/visits")),
        ("file:///lake/a%20b", ("file", "/lake/a b")),
        ("s3://lake/bronze/visits/", ("s3://lake", "bronze/visits")),
        ("https://me:hush@host:8443/events.csv", ("https://host:8443", "events.csv")),
    ],
)
def test_files_are_named_by_where_they_are_without_secrets(
    path: str, place: tuple[str, str]
) -> None:
    assert file_place(path) == place


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert file_place("events.jsonl") == Place("file", str(tmp_path / "events.jsonl"))


def test_topics_and_stores_are_named_by_their_first_server(tmp_path: Path) -> None:
    environ = {
        "HEADRACE_KAFKA_BOOTSTRAP_SERVERS": "one:9092,two:9092",
        "HEADRACE_ONLINE_TYPE": "redis",
        "HEADRACE_ONLINE_REDIS_URL": "rediss+cluster://cache:7000,cache:7001",
    }
    settings = load(tmp_path, environ)
    assert topic_place(settings, "visits") == Place("kafka://one:9092", "visits")
    assert store_place(settings, "shop:v1:0a") == Place("redis://cache:7000", "0.shop:v1:0a")
    here = load(tmp_path, {"HEADRACE_HOME": str(tmp_path)})
    assert store_place(here, "shop:v1:0a") == Place(f"sqlite://{tmp_path}/online.db", "shop:v1:0a")


def test_an_embedded_service_that_was_never_started_has_a_name_too(tmp_path: Path) -> None:
    assert topic_place(load(tmp_path, {}), "visits") == Place("kafka://embedded", "visits")
    (tmp_path / ".headrace").mkdir()
    (tmp_path / ".headrace" / "services.json").write_text("damaged")
    assert topic_place(load(tmp_path, {}), "visits") == Place("kafka://embedded", "visits")
