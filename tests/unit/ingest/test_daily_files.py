"""Where the events of a day come from."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from headrace_batch.ingest.daily_files import place_of_day, require_files, require_whole
from headrace_batch.ingest.run import ingest
from headrace_features.project import load_project
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.settings import Settings, load
from ingestion import HOUR_MS, START_MS, settings_in, transaction, write_parquet

DAY = date(2018, 4, 9)
WHERE = '{"transactions": "landing/{date}/*.parquet", "transaction_labels": "kafka"}'


def place(settings: Settings, source: str = "transactions") -> str | None:
    return place_of_day(settings, load_project(settings), source, DAY)


def test_a_day_stands_in_its_place_and_a_topic_has_none(tmp_path: Path) -> None:
    url = {"HEADRACE_INGEST": json.dumps({"transactions": "s3://landing/{date}.csv"})}
    assert place(load(tmp_path, url)) == "s3://landing/2018-04-09.csv"
    assert place(load(tmp_path, {"HEADRACE_INGEST": WHERE}), "transaction_labels") is None


def test_a_relative_place_starts_at_the_folder_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "headrace.toml").write_text(
        '[project]\nname = "cards"\ndefinitions = ["headrace_features.fraud.definitions"]\n'
        '[ingest]\ntransactions = "landing/{date}/*.parquet"\n'
    )
    found = place(load(tmp_path / "below", {}))
    assert found == str(tmp_path / "landing/2018-04-09/*.parquet")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{}", "nothing says where the events of transactions of a day are"),
        ('{"transactions": "none"}', "says that you fill its table yourself"),
        ('{"transaction": "landing/{date}"}', "did you mean 'transactions'"),
    ],
)
def test_a_source_whose_files_nothing_names_is_refused(
    written: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        place(load(tmp_path, {"HEADRACE_INGEST": written}))


def test_a_place_without_a_day_is_that_of_every_day(tmp_path: Path) -> None:
    glob = f"{tmp_path}/landing/*.parquet"
    settings = load(tmp_path, {"HEADRACE_INGEST": json.dumps({"transactions": glob})})
    assert place(settings) == glob
    told = r"the events of transactions are not there: .* \(put it there and run it again; .*{date}"
    with pytest.raises(RetryableError, match=told):
        require_files(settings, "transactions", DAY, glob)


def test_files_that_have_not_come_may_come_later(tmp_path: Path) -> None:
    settings = load(tmp_path, {"HEADRACE_INGEST": WHERE})
    glob = str(tmp_path / "landing/2018-04-09/*.parquet")
    told = "the events of transactions of 2018-04-09 have not come"
    with pytest.raises(RetryableError, match=told):
        require_files(settings, "transactions", DAY, glob)
    folder = tmp_path / "landing/2018-04-09"
    folder.mkdir(parents=True)
    (folder / "_SUCCESS").touch()
    with pytest.raises(RetryableError, match=told):
        require_files(settings, "transactions", DAY, glob)
    (folder / "part.parquet").touch()
    require_files(settings, "transactions", DAY, glob)


def test_a_day_of_a_topic_waits_until_an_event_is_later_than_it_by_the_lateness(
    tmp_path: Path,
) -> None:
    settings = settings_in(tmp_path, HEADRACE_STREAM_LATENESS="30m")
    project = load_project(settings)
    source = project.source("transactions")
    day = date(2018, 4, 1)
    hint = "has an event of 2018-04-02 00:30:00 UTC or later; if the topic falls silent, the day"

    def told() -> str:
        with pytest.raises(RetryableError) as waits:
            require_whole(settings, source, day)
        assert hint in str(waits.value)
        return waits.value.message

    said = "the events of transactions of 2018-04-01 have not all come: its topic"
    assert told() == f"{said} has told none yet"
    for name, hours in (("a", 23.5), ("b", 24.25), ("c", 24.5)):
        rows = [transaction(1, transaction_id=name, event_time=START_MS + int(hours * HOUR_MS))]
        ingest(
            settings,
            project,
            str(write_parquet(tmp_path / f"{name}.parquet", rows)),
            source=source.name,
        )
        if name != "c":
            whole = {"a": "2018-04-01 23:00:00", "b": "2018-04-01 23:45:00"}[name]
            assert told() == f"{said} is whole until {whole} UTC"
    require_whole(settings, source, day)
