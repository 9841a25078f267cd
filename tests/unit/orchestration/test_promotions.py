"""What may be promoted, and what one that was interrupted is finished by."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from headrace_features.online.stores import open_store
from headrace_features.online.versions import Switch, Versions, change_versions, read_versions
from headrace_features.portable_project import portable_project
from headrace_features.project import load_project
from headrace_orchestration.versions.comparison import accepted_features
from headrace_orchestration.versions.promotion import (
    _begun,
    _ended,
    _served,
    former_of,
    require_declared,
    require_ready,
)
from headrace_orchestration.versions.replaying import _with_served
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_schemas.settings import Settings

PROMOTING, TAKING_BACK = Switch("v2", "", back=False), Switch("", "v2", back=True)


def _instead(versions: Versions, _: Versions) -> Versions:
    return versions


def former(settings: Settings, versions: Versions) -> str:
    change_versions(open_store(settings), lambda _: versions)
    return former_of(settings, "card_activity")


def test_a_rollback_that_is_repeated_finishes_the_one_that_was_begun(settings: Settings) -> None:
    before = Versions(serving="v2", former=("",), switch=TAKING_BACK)
    after = Versions(serving="", taken_back=("v2",), switch=TAKING_BACK)
    assert former(settings, before) == former(settings, after) == ""
    assert _begun(after, "", back=True) == TAKING_BACK


def test_a_promotion_that_has_not_ended_is_taken_back_from_wherever_it_is(
    settings: Settings,
) -> None:
    before = Versions(serving="", former=("v1",), switch=PROMOTING)
    after = Versions(serving="v2", former=("", "v1"), switch=PROMOTING)
    assert former(settings, before) == former(settings, after) == ""
    assert _begun(before, "", back=True) == _begun(after, "", back=True) == TAKING_BACK


def test_a_rollback_after_another_one_that_has_ended_goes_back_further_or_says_that_it_cannot(
    settings: Settings,
) -> None:
    promoted = Versions(serving="v1").serves("v2").serves("v3")
    once = promoted.serves("v2", back=True)
    assert former(settings, once) == "v1"
    twice = once.serves("v1", back=True)
    assert (twice.former, twice.taken_back) == ((), ("v2", "v3"))
    # What was taken back is not what anybody goes back to.
    with pytest.raises(ConfigurationError, match="no other version of card_activity was served"):
        former(settings, twice)
    again = twice.serves("v3")
    assert (again.former, again.taken_back) == (("v1",), ("v2",))


def test_a_promotion_that_stood_still_is_not_served_once_it_was_taken_back_from_elsewhere(
    settings: Settings,
) -> None:
    store = open_store(settings)
    begun = Versions(serving="", switch=PROMOTING)
    change_versions(store, lambda _: begun.switches(TAKING_BACK).switches(None))
    with pytest.raises(RetryableError, match="v2 was about to be served, and another command"):
        change_versions(store, lambda held: _served(held, PROMOTING))
    assert read_versions(store)[1].serving == ""
    # One that another command has finished, or is about to finish, is.
    for held in (begun, begun.serves("v2"), begun.serves("v2").switches(None)):
        assert _served(held, PROMOTING).serving == "v2"


def test_a_promotion_that_stood_still_leaves_what_was_begun_elsewhere_meanwhile(
    settings: Settings,
) -> None:
    store = open_store(settings)
    served = Versions(serving="", switch=PROMOTING).serves("v2")
    for meanwhile in (TAKING_BACK, Switch("v3", "v2", back=False), None):
        begun = served.switches(meanwhile)
        change_versions(store, partial(_instead, begun))
        change_versions(store, lambda held: _ended(held, PROMOTING))
        assert read_versions(store)[1] == begun
    assert _ended(served, PROMOTING).switch is None


def test_one_that_is_served_is_told_what_to_keep_warm() -> None:
    assert _begun(Versions(serving="v2", former=("",)), "v2", back=False) == PROMOTING


def test_what_was_made_of_other_definitions_than_are_declared_is_not_promoted(
    settings: Settings,
) -> None:
    project = load_project(settings)
    made = {**portable_project(project), "namespace": "card_activity-v1"}
    change_versions(open_store(settings), lambda held: held.keeps("card_activity-v1", made))
    require_declared(settings, project, "card_activity-v1")
    later = replace(project.view("card_activity"), version=2)
    declared = replace(project, views={**project.views, "card_activity": later})
    with pytest.raises(ConfigurationError, match="made of other definitions than are declared"):
        require_declared(settings, declared, "card_activity-v1")


def test_another_promotion_has_to_be_finished_first(settings: Settings) -> None:
    project = load_project(settings)
    both = Versions(switch=PROMOTING).keeps("v2", {}).keeps("v3", {})
    change_versions(open_store(settings), lambda _: both)
    assert require_ready(settings, project, "v2") is None
    with pytest.raises(ConfigurationError, match="v2 is about to be served in place of the first"):
        require_ready(settings, project, "v3")


def test_a_replay_that_begins_keeps_what_others_have_changed_meanwhile() -> None:
    looked_at = Versions().keeps("", {"name": "first"})
    promoted = looked_at.keeps("v2", {"name": "second"}).serves("v2")
    assert _with_served(promoted, looked_at) == promoted
    assert _with_served(Versions(), looked_at) == looked_at
    other = Versions().keeps("v3", {"name": "third"})
    assert set(_with_served(other, looked_at).namespaces) == {"", "v3"}


def test_features_are_accepted_that_are_declared_or_served(settings: Settings) -> None:
    project = load_project(settings)
    view = project.view("card_activity")
    fewer = replace(view, aggregates=view.aggregates[:1])
    declared = replace(project, views={**project.views, view.name: fewer})
    gone = view.feature_names[-1]
    assert gone not in fewer.feature_names
    assert accepted_features([declared, project], view.name, [gone]) == {f"card_activity:{gone}"}
    with pytest.raises(ConfigurationError, match=f"unknown feature of card_activity '{gone}'"):
        accepted_features([declared], view.name, [gone])
    with pytest.raises(ConfigurationError, match="unknown feature view 'nope'"):
        accepted_features([declared, project], view.name, [f"nope:{gone}"])
