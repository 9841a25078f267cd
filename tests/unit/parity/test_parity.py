from __future__ import annotations

import struct

import pytest

from headrace_features import Decisions, FeatureService, FeatureView, Sliding, Sum
from headrace_features.fraud import definitions as fraud
from headrace_orchestration.parity.findings import Fault
from headrace_schemas.reasons import Reason
from recordings import HOUR_MS, Event, Stream, label_of, lines, reasons, transactions

DAY_MS = 24 * HOUR_MS
CARD, TERMINAL = "card_activity", "terminal_risk"


def streamed(events: list[Event]) -> Stream:
    """What is told of transactions that arrive in this order."""
    stream = Stream(fraud.card_decisions)
    for event in events:
        stream.take(fraud.transactions, event)
    return stream


def flipped(value: float) -> float:
    """The number whose last bit is the other one."""
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    (other,) = struct.unpack("<d", struct.pack("<q", bits ^ 1))
    return float(other)


def test_events_in_the_order_of_time_are_equal_in_every_promise() -> None:
    found = streamed(transactions(60, seed=1)).parity()
    assert found.unexplained == 0
    assert [one.equal for one in found.outcomes] == [one.rows for one in found.outcomes]
    assert {(one.promise, one.rows) for one in found.outcomes} == {
        ("P1", 3),
        ("P1", 2),
        ("P2", 60),
        ("P3", 60),
    }
    assert [(one.entities, one.rows) for one in found.samples] == [(3, 60), (2, 60)]


def test_one_flipped_bit_is_unexplained_in_each_promise_and_is_all_that_is() -> None:
    stream = streamed(transactions(60, seed=2))
    last = max(stream.told, key=lambda one: one["views"][CARD]["sequence"])
    feature = f"{CARD}__amount_minor_mean_30d"
    true = last["features"][feature]
    last["features"][feature] = flipped(true)
    found = stream.parity()
    told = list(found.lines())
    assert {line["promise"] for line in told} == {"P1", "P2", "P3", "P2 by the oracle"}
    assert {(line["event"], line["feature"]) for line in told} == {
        (last["id"], "amount_minor_mean_30d")
    }
    assert {line["reason"] for line in told} == {"unexplained"}
    assert {(line["emitted"], line["expected"]) for line in told} == {(flipped(true), true)}
    assert found.unexplained == 4
    assert not found.findings


def test_a_missing_decision_is_found_and_nothing_else() -> None:
    stream = streamed(transactions(60, seed=3))
    gone = stream.told.pop(30)
    found = stream.parity()
    assert [(one.fault, one.event) for one in found.findings] == [(Fault.MISSING, gone["id"])]
    assert found.unexplained == 1


def test_a_doubled_decision_is_found_and_nothing_else() -> None:
    stream = streamed(transactions(60, seed=4))
    stream.told.append(stream.told[30])
    found = stream.parity()
    assert [(one.fault, one.event) for one in found.findings] == [
        (Fault.DOUBLED, stream.told[30]["id"])
    ]
    assert found.unexplained == 1


def test_a_forged_sequence_is_found_and_nothing_else() -> None:
    stream = streamed(transactions(60, seed=5))
    forged = stream.told[30]
    number = forged["views"][CARD]["sequence"]
    forged["views"][CARD]["sequence"] = number + 1
    found = stream.parity()
    (finding,) = found.findings
    assert finding.fault is Fault.SEQUENCE
    assert forged["id"] in finding.event.split(", ")
    assert f"{number + 1} is told 2 times, {number} by none" in finding.told
    assert found.unexplained == 1


def test_a_number_beyond_all_labels_is_found() -> None:
    stream = streamed(transactions(20, seed=6))
    stream.told[7]["views"][TERMINAL]["sequence"] = 3
    (finding,) = stream.parity().findings
    assert (finding.fault, finding.event) == (Fault.SEQUENCE, stream.told[7]["id"])
    assert finding.told.endswith("3 is told, of 0 events")


def test_a_decision_of_no_record_and_one_that_changed_its_event_are_found() -> None:
    stream = streamed(transactions(20, seed=7))
    stream.told.append({**stream.told[3], "offset": 99})
    stream.told[5]["event"] = {**stream.told[5]["event"], "amount_minor": 1}
    found = stream.parity()
    assert {(one.fault, one.event) for one in found.findings} == {
        (Fault.FORGED, stream.told[3]["id"]),
        (Fault.FORGED, stream.told[5]["id"]),
        (Fault.MISSING, stream.told[5]["id"]),
    }


def test_rules_that_their_values_do_not_fire_are_found() -> None:
    stream = streamed(transactions(20, seed=8))
    stream.told[4] |= {"rules": ["velocity"], "flagged": True}
    (finding,) = stream.parity().findings
    assert (finding.fault, finding.event) == (Fault.RULES, stream.told[4]["id"])


def test_a_tie_is_explained_by_the_event_that_came_second() -> None:
    events = transactions(20, seed=9)
    second = {**events[10], "transaction_id": "second"}
    events.insert(11, second)
    found = streamed(events).parity()
    assert reasons(found, "P3", CARD) == {"tie": 1}
    (count,) = [line for line in lines(found, "P3") if line["feature"] == "count_1d"]
    assert count["event"] == events[10]["transaction_id"]
    assert count["explained_by"] == ["second"]
    assert count["expected"] == count["emitted"] + 1
    assert found.unexplained == 0


def test_an_event_that_arrives_after_younger_ones_explains_their_rows() -> None:
    events = transactions(20, seed=10)
    early = events.pop(5)
    after = [one for one in events[5:9] if one["card_id"] == early["card_id"]]
    events.insert(9, early)
    found = streamed(events).parity()
    assert after
    assert reasons(found, "P3", CARD) == {"out of order": len(after)}
    assert {line["event"] for line in lines(found, "P3")} == {
        one["transaction_id"] for one in after
    }
    assert {tuple(line["explained_by"]) for line in lines(found, "P3")} == {
        (early["transaction_id"],)
    }
    assert reasons(found, "P2", CARD) == {}
    assert found.unexplained == 0


@pytest.mark.parametrize(
    ("before_ms", "reason"), [(0, "label of the same instant"), (1, "label not there yet")]
)
def test_a_label_that_is_read_after_the_decision_explains_it(before_ms: int, reason: str) -> None:
    events = transactions(5, seed=11)
    asking = {
        **events[0],
        "transaction_id": "asking",
        "event_time": events[0]["event_time"] + 7 * DAY_MS + HOUR_MS,
    }
    stream = streamed([*events, asking])
    label = label_of(events[0], asking["event_time"] - before_ms)
    stream.take(fraud.labels, label)
    found = stream.parity()
    assert reasons(found, "P3", TERMINAL) == {reason: 1}
    (count,) = [line for line in lines(found, "P3") if line["feature"] == "count_1d_delayed_7d"]
    assert (count["event"], count["emitted"], count["expected"]) == ("asking", 0, 1)
    assert count["explained_by"] == [events[0]["transaction_id"]]
    assert found.unexplained == 0


def test_a_difference_that_the_named_events_do_not_make_stays_unexplained() -> None:
    events = transactions(20, seed=9)
    events.insert(11, {**events[10], "transaction_id": "second"})
    stream = streamed(events)
    stream.told[10]["features"][f"{CARD}__count_30d"] += 1
    found = stream.parity()
    assert reasons(found, "P3", CARD) == {"unexplained": 1}
    assert reasons(found, "P2", CARD) == {"unexplained": 1}


def test_a_refused_label_is_explained_by_the_ledger() -> None:
    events = transactions(5, seed=12)
    asking = {
        **events[0],
        "transaction_id": "asking",
        "event_time": events[0]["event_time"] + 7 * DAY_MS + HOUR_MS,
    }
    stream = streamed(events)
    stream.refuse(fraud.labels, label_of(events[0], events[0]["event_time"] + DAY_MS), "too_old")
    stream.take(fraud.transactions, asking)
    found = stream.parity()
    assert reasons(found, "P3", TERMINAL) == {"too old": 1}
    assert found.unexplained == 0


def test_an_event_that_is_too_late_for_its_view_is_explained_by_the_clock() -> None:
    events = transactions(20, seed=15)
    oldest = {**events[0], "transaction_id": "oldest"}
    oldest["event_time"] -= 1
    newest = max(
        (one for one in events if one["card_id"] == oldest["card_id"]),
        key=lambda one: one["event_time"],
    )
    stream = streamed([*events, oldest])
    found = stream.parity()
    assert reasons(found, "P3", CARD)["late"] == 1
    late = [line for line in lines(found, "P3") if line["event"] == "oldest"]
    assert {tuple(line["explained_by"]) for line in late} == {(newest["transaction_id"],)}
    assert found.unexplained == 0
    # One that says so without cause is not believed.
    told = stream.told[3]
    told["features"] = dict.fromkeys(told["features"])
    told["views"][CARD]["status"] = "late"
    assert reasons(stream.parity(), "P2", CARD) == {"unexplained": 1}


def test_an_event_of_an_entity_whose_state_has_expired_is_late_and_explained_by_time() -> None:
    events = transactions(20, seed=15)
    newest = max(events, key=lambda one: one["event_time"])
    later = {**events[0], "transaction_id": "later", "card_id": "another"}
    later["event_time"] = newest["event_time"] + 40 * DAY_MS
    again = {**newest, "transaction_id": "again", "event_time": newest["event_time"] - 1}
    stream = streamed([*events, later, again])
    told = stream.told[-1]
    of_card = {name: None for name in told["features"] if name.startswith(CARD)}
    told["features"] = {**told["features"], **of_card}
    told["views"][CARD]["status"] = "late"
    told["rules"], told["flagged"] = [], False
    found = stream.parity()
    assert reasons(found, "P3", CARD)["late"] == 1
    assert found.unexplained == 0


def test_a_sum_that_does_not_fit_has_no_values_in_stream_and_batch() -> None:
    spent = FeatureView(
        name="spent",
        version=1,
        entity=fraud.card,
        source=fraud.transactions,
        aggregates=[Sum("amount_minor", windows=[Sliding("30d")])],
    )
    stream = Stream(Decisions("spent", fraud.transactions, FeatureService("spent", [spent])))
    for event in transactions(30, seed=16):
        stream.take(fraud.transactions, {**event, "amount_minor": 2**61})
    assert {one["views"]["spent"]["status"] for one in stream.told} == {"complete", "overflow"}
    found = stream.parity()
    assert found.unexplained == 0
    assert all(one.rows == one.equal for one in found.outcomes)
    next(one for one in stream.told if one["views"]["spent"]["status"] == "complete")["views"][
        "spent"
    ]["status"] = "overflow"
    assert reasons(stream.parity(), "P2", "spent") == {"unexplained": 1}


def test_an_event_that_a_later_stage_can_not_evaluate_is_in_the_earlier_one() -> None:
    squares = FeatureView(
        name="squares",
        version=1,
        entity=fraud.terminal,
        source=fraud.transactions,
        derived={"square": "amount_minor * amount_minor"},
        aggregates=[Sum("square", windows=[Sliding("30d")])],
    )
    asked = FeatureService("squared", [fraud.card_activity, squares])
    stream = Stream(Decisions("squared", fraud.transactions, asked))
    events = transactions(20, seed=17)
    huge = {**events[8], "amount_minor": 2**40}
    for event in events[:8]:
        stream.take(fraud.transactions, event)
    stream.stop(fraud.transactions, huge, [CARD])
    for event in events[9:]:
        stream.take(fraud.transactions, event)
    found = stream.parity()
    assert found.findings == ()
    assert found.unexplained == 0


def test_a_duplicate_has_its_entry_and_one_of_nothing_is_lost() -> None:
    events = transactions(20, seed=13)
    stream = streamed(events)
    stream.refuse(fraud.transactions, events[3], "duplicate")
    assert stream.parity().unexplained == 0
    stream.refuse(fraud.transactions, {**events[3], "transaction_id": "lost"}, "duplicate")
    assert [(one.fault, one.event) for one in stream.parity().findings] == [(Fault.LOST, "lost")]


def test_a_bad_record_is_a_dead_letter_and_a_good_one_is_none() -> None:
    stream = streamed(transactions(20, seed=14))
    stream.read["transactions"].append({})
    stream.bad["transactions"] = {20: Reason.UNDECODABLE}
    (finding,) = stream.parity().findings
    assert (finding.fault, finding.event) == (Fault.NO_DEAD_LETTER, "transactions/0/20")
    letter = {"topic": "transactions", "reason": "undecodable", "partition": 0}
    stream.dead = [{**letter, "offset": 20}]
    assert stream.parity().unexplained == 0
    gone = stream.told.pop()
    stream.dead.append({**letter, "offset": 19})
    assert [(one.fault, one.event) for one in stream.parity().findings] == [
        (Fault.GOOD_DEAD_LETTER, gone["id"])
    ]
