"""However a place is written, whoever publishes there waits for the same one."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_batch.staging.places import name_of
from headrace_schemas.tables import relative_path, staged_table


def test_a_folder_has_one_name_whichever_way_leads_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "sets of mine"
    place.mkdir()
    (tmp_path / "link").symlink_to(place)
    monkeypatch.chdir(tmp_path)
    ways = [
        *(str(place), f"{place}/", f"{tmp_path}/other/../sets of mine", str(tmp_path / "link")),
        *("sets of mine", place.as_uri()),
    ]
    assert len({name_of(one) for one in ways}) == 1
    assert name_of(str(place)) != name_of(str(place / "b"))


def test_a_url_has_one_name_however_its_scheme_and_slashes_are_written() -> None:
    ways = ["s3://lake/sets/fraud", "s3a://lake/sets//fraud/", "s3://LAKE/sets/fraud/"]
    assert len({name_of(one) for one in ways}) == 1
    others = [
        "s3://lake/sets/Fraud",
        "gs://lake/sets/fraud",
        "abfs://a@x/fraud",
        "abfs://b@x/fraud",
    ]
    assert len({name_of(one) for one in [*ways, *others]}) == 5


@pytest.mark.parametrize("place", ["/", "s3://lake", "/ünïcode/Größe 1", "/" + "long" * 60])
def test_every_place_has_a_name_that_a_table_may_have(place: str) -> None:
    assert relative_path(staged_table(name_of(place)))


def test_no_password_is_in_a_name() -> None:
    assert "secret" not in name_of("ftp://me:secret@host")
    assert name_of("ftp://me:secret@host/a") == name_of("ftp://me:other@host/a")
