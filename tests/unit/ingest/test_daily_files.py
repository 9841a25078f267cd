"""Where the events of a day come from."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from headrace_batch.ingest.daily_files import place_of_day, require_files
from headrace_features.project import load_project
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.settings import Settings, load

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
