"""What there is to do is asked for once, and again when it may be something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dags.dag_folder import ROOT
from headrace_factory.document import NoRunsError, headrace_command, runs_document

TOML = '[project]\nname = "cards"\ndefinitions = ["cards"]\n'
DEFINITIONS = "from headrace_features.fraud.definitions import card_activity\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of its own."""
    place = tmp_path / "cards"
    place.mkdir()
    (place / "headrace.toml").write_text(TOML)
    (place / "cards.py").write_text(DEFINITIONS)
    return place


def tasks(folder: Path, **environ: str) -> list[str]:
    document = runs_document(folder, folder / "kept", environ)
    return [task["name"] for task in document["runs"][0]["tasks"]]


def counting(script: Callable[[str], str], folder: Path) -> str:
    """The command, which leaves a line for each time that it is run."""
    return script(f'echo ran >> {folder}/ran\nexec {ROOT}/.venv/bin/headrace "$@"')


def test_a_project_of_one_s_own_has_its_own_tasks(folder: Path) -> None:
    assert tasks(folder) == [
        "ingest_transactions",
        "backfill_card_activity",
        "materialize_card_activity",
        "probe_card_activity",
    ]


def test_the_command_is_run_again_when_definitions_settings_or_environment_change(
    folder: Path, script: Callable[[str], str]
) -> None:
    command = counting(script, folder)
    ran = folder / "ran"
    for _ in range(3):
        assert "backfill_terminal_risk" not in tasks(folder, HEADRACE_COMMAND=command)
    assert ran.read_text() == "ran\n"
    (folder / "cards.py").write_text(DEFINITIONS.replace("card_activity", "terminal_risk"))
    assert "backfill_terminal_risk" in tasks(folder, HEADRACE_COMMAND=command)
    assert "backfill_terminal_risk" in tasks(folder, HEADRACE_COMMAND=command)
    assert ran.read_text() == "ran\n" * 2
    with (folder / "headrace.toml").open("a") as settings:
        settings.write('[project.modes]\nterminal_risk = "kappa"\n')
    assert "probe_terminal_risk" not in tasks(folder, HEADRACE_COMMAND=command)
    assert ran.read_text() == "ran\n" * 3
    modes = '{"terminal_risk": "lambda"}'
    both = {"HEADRACE_COMMAND": command, "HEADRACE_PROJECT_MODES": modes}
    assert "probe_terminal_risk" in tasks(folder, **both)
    assert ran.read_text() == "ran\n" * 4


def test_what_is_kept_tells_no_setting(folder: Path) -> None:
    tasks(folder, HEADRACE_ONLINE_REDIS_OPTIONS='{"password": "hush"}')
    (kept,) = (folder / "kept").iterdir()
    assert "hush" not in kept.read_text()


def test_a_document_that_was_damaged_is_made_anew(folder: Path) -> None:
    before = tasks(folder)
    (kept,) = (folder / "kept").iterdir()
    kept.write_text("{")
    assert tasks(folder) == before


def test_definitions_that_can_t_be_read_are_one_line(folder: Path) -> None:
    (folder / "cards.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(NoRunsError) as told:
        tasks(folder)
    assert str(told.value).startswith(f"the runs of {folder} can't be told: headrace: the defin")
    assert "\n" not in str(told.value)


def test_a_command_that_isn_t_there_is_one_line_with_what_to_do() -> None:
    with pytest.raises(NoRunsError) as told:
        headrace_command({"HEADRACE_COMMAND": "/nowhere/headrace"})
    assert str(told.value) == (
        "there is no command /nowhere/headrace: install Headrace in an environment of its own and"
        " set HEADRACE_COMMAND to its headrace"
    )


def test_runs_of_another_release_are_refused(folder: Path, script: Callable[[str], str]) -> None:
    command = script("""echo '{"format": 2, "made_from": {}}'""")
    with pytest.raises(NoRunsError, match="in format 2, and these DAGs read 1"):
        tasks(folder, HEADRACE_COMMAND=command)
