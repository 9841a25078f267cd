"""Runs of which a part is missing or was made otherwise: what of them can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headrace_features import Count, Decisions, FeatureService, FeatureView, Mean, Sliding
from headrace_features.fraud import definitions as fraud
from headrace_orchestration.parity.cutting import since
from headrace_orchestration.parity.findings import Fault
from headrace_orchestration.parity.recording import Beginning, Recording, record_places
from headrace_orchestration.parity.runs import (
    added_features,
    beginning,
    newest_run,
    tells_soon,
)
from headrace_streaming.kafka.epochs import Announcement, Deployed
from recordings import (
    HOUR_MS,
    Event,
    Stream,
    label_of,
    lines,
    parity_of,
    reasons,
    transactions,
)

DAY_MS = 24 * HOUR_MS
CARD, TERMINAL = "card_activity", "terminal_risk"


def streamed(events: Sequence[Event], lateness_ms: int = HOUR_MS) -> Stream:
    """What is told of transactions that arrive in this order."""
    stream = Stream(fraud.card_decisions, lateness_ms)
    for event in events:
        stream.take(fraud.transactions, event)
    return stream


def cut(stream: Stream, offset: int, *, history: bool) -> Recording:
    """A recording without the first transactions: what the lake had, or the broker deleted."""
    begin = (
        Beginning(first={0: offset}, told={0: 0}, history=True)
        if history
        else Beginning(first={0: 0}, told={0: offset})
    )
    recording = stream.recording()
    if history:
        # Nothing was decided about what came before.
        stream.told = [one for one in stream.told if one["offset"] >= offset]
        recording = stream.recording()
    return since(replace(recording, begins={"transactions": begin}))


def spread(count: int, seed: int) -> list[Event]:
    """Transactions some hours apart."""
    events = transactions(count, seed)
    start_ms = events[0]["event_time"]
    return [
        {**event, "event_time": start_ms + number * 18 * HOUR_MS}
        for number, event in enumerate(events)
    ]


@pytest.mark.parametrize("lateness_ms", [0, 2 * HOUR_MS])
def test_late_is_what_is_later_than_the_job_that_ran_was_told(lateness_ms: int) -> None:
    events = spread(30, seed=21)
    newest = events[-1]
    behind = [
        {**newest, "transaction_id": f"behind {hours}", "event_time": newest["event_time"] - ms}
        for hours, ms in ((0, 1), (1, HOUR_MS + 1), (2, 2 * HOUR_MS + 1))
    ]
    stream = streamed([*events, *behind], lateness_ms)
    late = [one["id"] for one in stream.told if one["views"][CARD]["status"] == "late"]
    assert len(late) == (3 if lateness_ms == 0 else 1)
    found = stream.parity()
    assert found.unexplained == 0
    assert reasons(found, "P3", CARD)["late"] == len(late)


def adding(view: FeatureView, known_from: int, events: Sequence[Event]) -> Stream:
    """A job to which all features of a view but the first are added after some events."""
    stream = Stream(Decisions("fraud", fraud.transactions, FeatureService("fraud", [view])))
    for event in events:
        stream.take(fraud.transactions, event)
    added = [f"{view.name}__{name}" for name in view.feature_names[1:]]
    for number, one in enumerate(stream.told):
        if number < known_from:
            one["features"] = {k: v for k, v in one["features"].items() if k not in added}
        elif number < known_from + 10:
            one["features"] |= dict.fromkeys(added)
            one["views"][view.name]["status"] = "incomplete"
    return stream


ACTIVITY = FeatureView(
    name="activity",
    version=1,
    entity=fraud.card,
    source=fraud.transactions,
    aggregates=[
        Count(windows=[Sliding("30d")]),
        Mean("amount_minor", windows=[Sliding("30d"), Sliding("7d")]),
    ],
)


def test_a_feature_that_is_added_is_explained_until_it_is_known() -> None:
    stream = adding(ACTIVITY, 20, transactions(50, seed=22))
    found = stream.parity()
    assert found.unexplained == 0
    assert reasons(found, "P3", "activity") == {"not declared yet": 20, "incomplete": 10}
    assert {line["feature"] for line in lines(found, "P3")} == {
        "amount_minor_mean_30d",
        "amount_minor_mean_7d",
    }
    assert {(one.promise, one.equal) for one in found.outcomes if one.promise != "P1"} == {
        ("P2", 20),
        ("P3", 20),
    }


def test_what_was_declared_all_the_time_is_held_to_while_others_are_unknown() -> None:
    stream = adding(ACTIVITY, 20, transactions(50, seed=22))
    for number in (3, 25):
        stream.told[number]["features"]["activity__count_30d"] += 1
    found = stream.parity()
    assert reasons(found, "P2", "activity")["unexplained"] == 2
    assert reasons(found, "P3", "activity")["unexplained"] == 2


def test_nothing_is_incomplete_to_which_nothing_was_added() -> None:
    stream = streamed(transactions(30, seed=23))
    told = stream.told[12]
    told["features"] |= {name: None for name in told["features"] if name.startswith(CARD)}
    told["views"][CARD]["status"] = "incomplete"
    assert reasons(stream.parity(), "P2", CARD) == {"unexplained": 1}
    assert reasons(stream.parity(), "P3", CARD) == {"unexplained": 1}


def test_announcements_tell_what_was_added_before_anything_was_decided() -> None:
    stream = adding(ACTIVITY, 0, transactions(50, seed=22))
    assert reasons(stream.parity(), "P3", "activity") == {"unexplained": 10}
    before = announced(1, features={"activity": ["count_30d"]})
    after = announced(2, restored_from="x", features={"activity": list(ACTIVITY.feature_names)})
    added = added_features([before, after])
    assert added == {"activity__amount_minor_mean_30d", "activity__amount_minor_mean_7d"}
    found = parity_of(replace(stream.recording(), added=added))
    assert reasons(found, "P3", "activity") == {"incomplete": 10}
    assert found.unexplained == 0


@pytest.mark.parametrize("history", [True, False])
def test_windows_that_reach_only_what_is_there_are_compared_and_others_plainly_not(
    history: bool,  # noqa: FBT001 - a case
) -> None:
    events = spread(150, seed=24)
    stream = streamed(events)
    recording = cut(stream, 50, history=history)
    reason = "begun with the lake" if history else "no longer comparable"
    found = parity_of(recording)
    assert found.findings == ()
    assert found.unexplained == 0
    assert (found.gone, found.decided) == (0 if history else 50, {"fraud": 100})
    assert found.from_lake == history
    differing = reasons(found, "P3", CARD)
    assert differing == {reason: differing[reason]}
    assert 0 < differing[reason] < 100
    for number, unexplained in ((149, 1), (51, 0)):
        # The last decision is held to every bit, one of the first can't be.
        feature = f"{CARD}__count_30d"
        value = stream.told[number - 150]["features"][feature]
        stream.told[number - 150]["features"][feature] = value + 1
        wrong = parity_of(cut(stream, 50, history=history))
        assert reasons(wrong, "P2", CARD).get("unexplained", 0) == unexplained
        stream.told[number - 150]["features"][feature] = value


@pytest.mark.parametrize("history", [True, False])
def test_entities_whose_events_of_a_view_were_all_before_are_known_by_what_decisions_tell(
    history: bool,  # noqa: FBT001 - a case
) -> None:
    view = replace(ACTIVITY, filter="country = 'FR'")
    stream = Stream(Decisions("fraud", fraud.transactions, FeatureService("fraud", [view])))
    for number, event in enumerate(spread(100, seed=27)):
        # Since then nothing of one card passes the filter.
        french = number < 60 or event["card_id"] != "card 1"
        stream.take(fraud.transactions, {**event, "country": "FR" if french else "DE"})
    recording = cut(stream, 60, history=history)
    reason = "begun with the lake" if history else "no longer comparable"
    found = parity_of(recording)
    assert found.findings == ()
    assert found.unexplained == 0
    assert set(reasons(found, "P3", "activity")) == {reason}


def test_where_events_are_gone_the_numbers_of_the_others_are_held_to() -> None:
    stream = streamed(spread(100, seed=25))
    told = stream.told[80]
    told["views"][CARD]["sequence"] += 1
    found = parity_of(cut(stream, 30, history=False))
    assert {one.fault for one in found.findings} == {Fault.SEQUENCE}
    stream = streamed(spread(100, seed=25))
    gone = stream.told.pop(80)
    found = parity_of(cut(stream, 30, history=False))
    assert [(one.fault, one.event) for one in found.findings] == [(Fault.MISSING, gone["id"])]


def test_events_of_several_partitions_leave_gaps_between_the_numbers() -> None:
    stream = streamed(spread(100, seed=26))
    recording = stream.recording()
    log, table = recording.sources["transactions"], recording.decisions["fraud"].table
    partition = log.place % 2
    offset = log.place // 2
    table = table.set_column(
        table.schema.get_field_index("partition"), "partition", [partition]
    ).set_column(table.schema.get_field_index("offset"), "offset", [offset])
    recording = replace(
        recording,
        sources={
            **recording.sources,
            "transactions": replace(
                log, place=record_places(partition, offset), partition=partition
            ),
        },
        decisions={"fraud": replace(recording.decisions["fraud"], table=table)},
        begins={"transactions": Beginning(first={0: 0, 1: 0}, told={0: 10, 1: 25})},
    )
    found = parity_of(since(recording))
    assert found.findings == ()
    assert found.unexplained == 0
    assert found.gone == 35
    assert set(reasons(found, "P3", CARD)) == {"no longer comparable"}


@pytest.mark.parametrize("history", [True, False])
def test_labels_that_are_not_there_make_no_false_alarm(
    history: bool,  # noqa: FBT001 - a case
) -> None:
    events = spread(60, seed=27)
    stream = Stream(fraud.card_decisions)
    early = [label_of(event, event["event_time"] + 7 * DAY_MS) for event in events[:8]]
    for label in early:
        stream.take(fraud.labels, label)
    asking = [{**event, "event_time": event["event_time"] + 8 * DAY_MS} for event in events]
    for number, event in enumerate(asking):
        stream.take(fraud.transactions, event)
        if number == 30:
            stream.take(fraud.labels, label_of(events[8], event["event_time"]))
    begin = (
        Beginning(first={0: 8}, told={0: 0}, history=True)
        if history
        else Beginning(first={0: 0}, told={0: 8})
    )
    found = parity_of(since(replace(stream.recording(), begins={"transaction_labels": begin})))
    assert found.unexplained == 0
    reason = "begun with the lake" if history else "no longer comparable"
    assert reasons(found, "P3", TERMINAL)[reason] > 0


def test_what_a_former_run_has_decided_is_not_missing() -> None:
    stream = streamed(transactions(40, seed=28))
    stream.told = stream.told[15:]
    recording = stream.recording()
    assert parity_of(recording).findings
    decided = record_places(np.zeros(15, np.int64), np.arange(15))
    found = parity_of(replace(recording, decided_before={"fraud": decided}))
    assert found.findings == ()
    assert found.unexplained == 0
    assert found.decided == {"fraud": 25}


def announced(epoch: int, **told: Any) -> Deployed:
    return Deployed(epoch, epoch * 1000, Announcement(project="x", mode="immediate", **told))


def test_a_run_begins_anew_with_the_lake() -> None:
    first, lake, again = (
        announced(1),
        announced(2, restored_from="history", since_ms={}),
        announced(3, restored_from="savepoint"),
    )
    assert newest_run([first, lake, again], {1, 2, 3}) == [lake, again]
    assert newest_run([first, again], {1, 3}) == [first, again]


def test_a_recording_begins_where_records_and_what_was_told_of_them_are_left() -> None:
    log = streamed(transactions(10, seed=29)).recording().sources["transactions"]
    run = announced(1, starts={"transactions": {0: 2}})
    whole = beginning(run, log, {0: (2, 10)}, None)
    assert (whole.offsets, whole.whole) == ({0: 2}, True)
    deleted = beginning(run, log, {0: (4, 10)}, None)
    assert (deleted.offsets, deleted.deleted) == ({0: 4}, True)
    # Each is sent a millisecond after the other; decisions on the first seven are gone.
    untold = beginning(run, log, {0: (2, 10)}, 7)
    assert (untold.offsets, untold.deleted) == ({0: 7}, True)
    assert not beginning(run, log, {0: (0, 10)}, 1).deleted


def test_positions_are_waited_for_only_of_a_young_deployment_and_of_what_is_decided_on() -> None:
    known = [announced(1), announced(2)]
    decided = {"transactions": [0, 1]}
    labels_alone = {2: {"transaction_labels": {0: 5}, "transactions": {}}}
    told = {2: {"transactions": {0: 5, 1: 7}}}
    assert tells_soon(known, {}, decided, 3_000)
    assert tells_soon(known, {2: {"transactions": {0: 5}}}, decided, 3_000)
    assert tells_soon(known, labels_alone, decided, 3_000)
    assert not tells_soon(known, told, decided, 3_000)
    assert not tells_soon(known, labels_alone, decided, 2_000 + 60_001)
    assert not tells_soon([], {}, decided, 3_000)
