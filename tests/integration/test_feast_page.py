"""Feast's own page has the catalogue of a project: who owns what, and what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from headrace_features.feast_plugin import repository
from headrace_features.project import load_project
from lakes import settings_in
from servers import Server, feast_page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`feast ui` on the built-in project, as it is registered."""
    home = tmp_path_factory.mktemp("home")
    settings = settings_in(home)
    repository.apply(settings, load_project(settings))
    with feast_page(home) as server:
        yield server


def listed(page: Server, kind: str, objects: str) -> dict[str, Mapping[str, Any]]:
    """What the page lists of a kind, by name."""
    answer = page.ask(f"/api/v1/{kind}?project=fraud")
    assert answer.status == 200, answer.body
    found = [one.get("spec", one) for one in answer.body[objects]]
    return {one["name"]: one for one in found}


def test_entities_sources_views_and_services_have_their_owners_and_descriptions(
    page: Server,
) -> None:
    for kind, objects, name, description in (
        ("entities", "entities", "card", "A payment card."),
        (
            "data_sources",
            "dataSources",
            "transactions",
            "Every card transaction, fraudulent or not.",
        ),
        ("feature_views", "featureViews", "card_activity", "How a card was used lately."),
        (
            "feature_services",
            "featureServices",
            "fraud",
            "What the fraud model asks for when it decides on a transaction.",
        ),
    ):
        one = listed(page, kind, objects)[name]
        assert (one["owner"], one["description"]) == ("fraud", description)


def test_tags_that_were_declared_stand_beside_ours(page: Server) -> None:
    sources = listed(page, "data_sources", "dataSources")
    assert sources["transaction_labels"]["tags"] == {"kind": "labels"}
    assert sources["transaction_labels_push"]["tags"] == {
        "kind": "labels",
        "headrace.managed": "true",
    }


def test_the_page_tells_which_view_is_made_of_which_source(page: Server) -> None:
    answer = page.ask("/api/v1/lineage/registry?project=fraud")
    edges = {(one["source"]["name"], one["target"]["name"]) for one in answer.body["relationships"]}
    assert {("transactions", "card_activity"), ("card_activity", "fraud")} <= edges
