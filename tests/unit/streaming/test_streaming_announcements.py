from __future__ import annotations

import json

import msgspec

from headrace_features.fraud import definitions as fraud
from headrace_features.online.served import view_key
from headrace_features.project import load_project
from headrace_schemas.settings import Settings
from headrace_streaming.job.announcement import announcement_of
from headrace_streaming.job.config import JobConfig, LakeState, Mode
from headrace_streaming.kafka.epochs import Announcement, Started, announced, started

OLDEST = {"transactions": {0: 7, 1: 9}, "transaction_labels": {0: 0}}


def test_a_deployment_without_state_tells_what_it_works_under_and_where_it_begins(
    settings: Settings,
) -> None:
    config = JobConfig(kafka={}, mode=Mode.ORDERED, lateness_ms=7, out_of_orderness_ms=11)
    told = announcement_of(load_project(settings), config, None, OLDEST, ["transactions"])
    assert told.also_in_files == ["transactions"]
    assert (told.mode, told.lateness_ms, told.out_of_orderness_ms) == ("ordered", 7, 11)
    assert (told.anew, told.bootstrapped, told.starts) == (True, False, OLDEST)
    assert told.features is not None
    assert told.views == [view_key(fraud.card_activity), view_key(fraud.terminal_risk)]
    assert told.features["terminal_risk"] == list(fraud.terminal_risk.feature_names)
    assert announced(msgspec.json.encode(told)) == told


def test_one_that_begins_with_the_lake_is_told_from_one_that_goes_on(settings: Settings) -> None:
    project = load_project(settings)
    lake = LakeState(starts={"transactions": {1: 20}}, since_ms={"transactions": 99})
    told = announcement_of(project, JobConfig(kafka={}, lake=lake), "savepoint", OLDEST, ())
    assert (told.anew, told.bootstrapped) == (True, True)
    assert told.since_ms == {"transactions": 99}
    assert told.starts == {"transactions": {0: 7, 1: 20}, "transaction_labels": {0: 0}}
    on = announcement_of(project, JobConfig(kafka={}), "savepoint", OLDEST, ())
    assert (on.anew, on.bootstrapped, on.starts) == (False, False, None)


def test_what_older_deployments_have_announced_can_be_read() -> None:
    older = {"project": "fraud", "mode": "immediate", "restored_from": "savepoint"}
    told = announced(json.dumps(older).encode())
    assert told == Announcement(project="fraud", mode="immediate", restored_from="savepoint")
    assert announced(b'{"started": 3}') is None
    assert started(b'{"started": 3}') == Started(3, None)


def test_a_job_that_starts_tells_what_it_goes_on_from() -> None:
    # As the feature operator writes it.
    assert started(b'{"started":7,"goes_on_from":3}') == Started(7, 3)
    for other in (b'{"taken_over":3}', b'{"project":"fraud","mode":"immediate"}', b"", b"x"):
        assert started(other) is None
