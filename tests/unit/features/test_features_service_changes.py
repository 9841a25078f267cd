"""What has changed of feature services since they were registered."""

from __future__ import annotations

from headrace_features import FeatureService, Terms
from headrace_features.feast_plugin.changes import ChangeKind, asked_by, service_changes
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_features.project import Project


def project(*services: FeatureService) -> Project:
    return Project("p", {}, {}, {}, {service.name: service for service in services}, {})


def test_what_services_ask_for_and_their_terms_are_compared() -> None:
    before = [
        FeatureService("same", [card_activity]),
        FeatureService("terms", [card_activity]),
        FeatureService("other", [card_activity.select("count_1h", "count_1d"), terminal_risk]),
        FeatureService("gone", [card_activity]),
    ]
    registered = {service.name: asked_by(service) for service in before}
    now = project(
        FeatureService("same", [card_activity], description="told otherwise"),
        FeatureService("terms", [card_activity], terms=Terms(incomplete="refuse", max_lag="60s")),
        FeatureService("other", [card_activity.select("count_1h", "count_30d")]),
        FeatureService("new", [card_activity]),
    )
    found = {change.service: change for change in service_changes(registered, now)}
    kinds = {name: change.kind for name, change in found.items()}
    assert kinds == {
        "same": ChangeKind.UNCHANGED,
        "terms": ChangeKind.CHANGED,
        "other": ChangeKind.CHANGED,
        "gone": ChangeKind.REMOVED,
        "new": ChangeKind.ADDED,
    }
    assert found["terms"].differences == (
        "~ terms.incomplete: flag → refuse",
        "~ terms.max_lag: 5m → 1m",
    )
    assert found["other"].differences == (
        "- features.card_activity.count_1d",
        "+ features.card_activity.count_30d",
        "- features.terminal_risk",
    )


def test_services_that_an_older_release_has_registered_are_told_as_changed() -> None:
    (change,) = service_changes({"old": {}}, project(FeatureService("old", [card_activity])))
    assert change.kind is ChangeKind.CHANGED
