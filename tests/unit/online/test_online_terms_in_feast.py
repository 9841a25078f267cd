"""A service's terms travel through Feast's registry."""

from __future__ import annotations

import feast

from headrace_features import FeatureService, Terms
from headrace_features.feast_plugin.objects import registry_objects, terms_of
from headrace_features.fraud.definitions import card_activity
from headrace_features.project import Project


def registered(service: FeatureService) -> feast.FeatureService:
    project = Project(
        "fraud",
        entities={"card": card_activity.entity},
        sources={card_activity.source.name: card_activity.source},
        views={card_activity.name: card_activity},
        services={service.name: service},
        decisions={},
    )
    (found,) = (
        one
        for one in registry_objects(project, lambda table: table)
        if isinstance(one, feast.FeatureService)
    )
    return found


def test_terms_are_read_back_from_a_registered_service() -> None:
    strict = Terms(incomplete="refuse", unavailable="empty", max_lag="1m")
    assert terms_of(registered(FeatureService("scores", [card_activity], terms=strict))) == strict
    usual = registered(FeatureService("scores", [card_activity]))
    assert terms_of(usual) == Terms()
    assert not {tag for tag in usual.tags if tag.startswith("headrace.in")}


def test_features_by_name_are_on_the_usual_terms() -> None:
    assert terms_of(["card_activity:count_1d"]) == Terms()
