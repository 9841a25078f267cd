"""A project as data: made of it again, it compiles to the same plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headrace_features.portable_project import (
    declare_alike,
    portable_project,
    project_from,
    read_definitions,
)
from headrace_features.project import Project, load_project
from headrace_features.stream_plan.plan import compile_plan
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import load


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The built-in project."""
    return load_project(load(tmp_path, {}))


def test_the_plan_of_what_is_made_again_differs_in_the_number_of_contracts_alone(
    project: Project,
) -> None:
    document = json.loads(json.dumps(portable_project(project)))
    again = project_from(document)
    assert portable_project(again) == document

    def numberless(one: Project) -> dict[str, Any]:
        plan = compile_plan(one)
        # Descriptions of columns are no part of a document.
        for source in plan["sources"]:
            del source["schema_version"]
        return plan

    assert numberless(again) == numberless(project)


def test_views_of_a_document_are_kept_in_its_namespace(project: Project) -> None:
    made = project_from({**portable_project(project), "namespace": "second"})
    assert made.full_name == f"{project.name}.second"
    assert {view.namespace for view in made.views.values()} == {"second"}
    decided = {view.namespace for one in made.decisions.values() for view in one.views}
    assert decided == {"second"}


def test_what_a_document_says_to_people_makes_no_other_definitions_of_it(project: Project) -> None:
    document = portable_project(project)
    told = json.loads(json.dumps(document))
    told["views"]["card_activity"] |= {"description": "Other words.", "tags": {"a": "b"}}
    told["views"]["card_activity"]["entity"]["owner"] = "others"
    told["sources"]["transactions"]["tags"] = {}
    assert declare_alike(document, told)
    told["views"]["card_activity"]["filter"] = "amount_minor > 0"
    assert not declare_alike(document, told)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"name": 1}'])
def test_a_file_without_definitions_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "definitions.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as told:
        read_definitions(path)
    assert len(str(told.value).splitlines()) == 1


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no definitions"):
        read_definitions(tmp_path / "none.json")
