"""Plain `feast` commands work on the repository in features/feature_repo."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from headrace_features.feast_plugin import repository
from headrace_features.project import load_project
from lakes import settings_in

REPOSITORY = Path(__file__).parents[2] / "features" / "feature_repo"


def feast(
    home: Path, *arguments: str, repository: Path = REPOSITORY
) -> subprocess.CompletedProcess[str]:
    """Run the feast command of this environment."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("feast")), "-c", str(repository), *arguments],
        env={**os.environ, "HEADRACE_HOME": "data"},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_plan_apply_and_list_work_as_they_are(tmp_path: Path) -> None:
    planned = feast(tmp_path, "plan")
    assert planned.returncode == 0, planned.stderr
    assert "card_activity" in planned.stdout
    applied = feast(tmp_path, "apply")
    assert applied.returncode == 0, applied.stderr
    assert (tmp_path / "data" / "registry.db").exists()
    assert not list(REPOSITORY.rglob("*.db")), "nothing is written beside the definitions"
    listed = feast(tmp_path, "feature-views", "list")
    assert {line.split()[0] for line in listed.stdout.splitlines()[1:]} == {
        "card_activity",
        "terminal_risk",
        "transaction_context",
    }
    assert "No changes" in feast(tmp_path, "plan").stdout


def test_apply_refuses_a_change_without_a_new_version(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(REPOSITORY, project / "feature_repo")
    (project / "headrace.toml").write_text(
        '[project]\nname = "fraud"\ndefinitions = ["changed"]\n', encoding="utf-8"
    )
    module = project / "changed.py"
    module.write_text(
        "from headrace_features import Count, FeatureView, Sliding\n"
        "from headrace_features.fraud.definitions import card, transactions\n"
        "counts = FeatureView('counts', 1, card, transactions, [Count([Sliding('1d')])])\n",
        encoding="utf-8",
    )
    first = feast(tmp_path, "apply", repository=project / "feature_repo")
    assert first.returncode == 0, first.stderr
    module.write_text(module.read_text(encoding="utf-8").replace("1d", "2d"), encoding="utf-8")
    second = feast(tmp_path, "apply", repository=project / "feature_repo")
    assert second.returncode != 0
    assert "counts has changed without a new version" in second.stderr + second.stdout
    module.write_text(
        module.read_text(encoding="utf-8").replace("'counts', 1", "'counts', 2"), encoding="utf-8"
    )
    third = feast(tmp_path, "apply", repository=project / "feature_repo")
    assert third.returncode == 0, third.stderr


def test_materialize_refuses_our_views_and_names_the_command_for_them(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "data")
    repository.apply(settings, load_project(settings))
    refused = feast(tmp_path, "materialize-incremental", "2018-05-02")
    assert refused.returncode != 0
    assert "run: headrace materialize" in refused.stderr + refused.stdout
