from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from headrace_batch.jars import SPARK
from headrace_features import archives
from headrace_schemas.errors import ConfigurationError

JAR = archives.LockedJar("org.example", "example", "1.0", hashlib.sha256(b"bytes").hexdigest())


@pytest.fixture(autouse=True)
def no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SPARK.variable, raising=False)


def test_the_variable_names_the_jars_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "b.jar", tmp_path / "a.jar"]
    for path in paths:
        path.touch()
    monkeypatch.setenv(SPARK.variable, os.pathsep.join(map(str, paths)))
    assert SPARK.paths() == tuple(paths)


def test_a_named_jar_that_does_not_exist_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SPARK.variable, str(tmp_path / "gone.jar"))
    with pytest.raises(ConfigurationError, match=r"HEADRACE_SPARK_JARS names .*gone\.jar"):
        SPARK.paths()


def test_the_jars_in_place_are_those_of_the_lock() -> None:
    for jar, path in zip(SPARK.locked(), SPARK.paths(), strict=True):
        archives.check_sum(jar, path)


def test_a_jar_with_other_bytes_than_the_lock_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / JAR.file_name
    path.write_bytes(b"byte")
    with pytest.raises(ConfigurationError, match=r"example-1\.0\.jar has the SHA-256"):
        archives.check_sum(JAR, path)


def test_without_a_network_one_error_says_what_to_do_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_CHECKOUT", tmp_path / "no checkout")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(ConfigurationError, match=r"could not fetch .* HEADRACE_SPARK_JARS"):
        SPARK.paths()
    assert list((tmp_path / "headrace").iterdir()) == []


def test_a_folder_that_another_process_completed_stays(tmp_path: Path) -> None:
    ours, theirs = _folder(tmp_path / "ours", "a.jar"), _folder(tmp_path / "theirs", "a.jar")
    (theirs / "a.jar").write_text("theirs")
    archives.move_into_place(ours, theirs)
    assert (theirs / "a.jar").read_text() == "theirs"


def test_a_folder_that_lost_a_jar_is_replaced(tmp_path: Path) -> None:
    ours = _folder(tmp_path / "ours", "a.jar", "b.jar")
    theirs = _folder(tmp_path / "theirs", "a.jar")
    archives.move_into_place(ours, theirs)
    assert sorted(path.name for path in theirs.iterdir()) == ["a.jar", "b.jar"]


def _folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).touch()
    return path
