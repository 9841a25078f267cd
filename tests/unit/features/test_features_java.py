from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headrace_features.java import java_home, java_version
from headrace_schemas.errors import ConfigurationError


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only Javas are those that the test makes, in the environment `env`."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    (tmp_path / "env").mkdir()
    return tmp_path


def test_the_variable_is_asked_first(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _java(alone / "env" / "jdk", "21.0.2")
    monkeypatch.setenv("JAVA_HOME", str(_java(alone / "chosen", "17.0.15")))
    assert java_home() == alone / "chosen"


def test_a_variable_that_leads_to_another_version_is_passed_over(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = _java(alone / "env" / "jdk", "21.0.2")
    monkeypatch.setenv("JAVA_HOME", str(_java(alone / "old", "1.8.0_402")))
    assert java_home() == link


def test_the_java_on_the_path_is_followed_to_its_home(alone: Path) -> None:
    home = _java(alone / "home", "17.0.15")
    (alone / "bin").mkdir()
    (alone / "bin" / "java").symlink_to(home / "bin" / "java")
    assert java_home() == home


def test_without_a_fitting_java_the_error_lists_what_was_found(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_java(alone / "new", "25")))
    with pytest.raises(ConfigurationError, match=r"Java 17 or 21; found JAVA_HOME=.*new: 25"):
        java_home()


def test_a_folder_without_java_has_no_version(tmp_path: Path) -> None:
    assert java_version(tmp_path) is None


def _java(home: Path, version: str) -> Path:
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch(mode=0o755)
    (home / "release").write_text(f'IMPLEMENTOR="Test"\nJAVA_VERSION="{version}"\n')
    return home
