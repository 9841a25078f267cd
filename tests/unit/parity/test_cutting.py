from __future__ import annotations

from headrace_features.fraud import definitions as fraud
from headrace_orchestration.parity.cutting import settled, until
from headrace_orchestration.parity.recording import Recording
from headrace_schemas.reasons import Reason
from recordings import Stream, label_of, transactions


def recording() -> Recording:
    """Twenty transactions that were decided, three labels, and one bad record at the end."""
    stream = Stream(fraud.card_decisions)
    events = transactions(20, seed=18)
    for event in events:
        stream.take(fraud.transactions, event)
    for event in events[:3]:
        stream.take(fraud.labels, label_of(event, event["event_time"]))
    stream.read["transactions"].append({})
    stream.bad["transactions"] = {20: Reason.UNDECODABLE}
    return stream.recording()


def test_a_recording_ends_at_the_positions_that_were_told() -> None:
    cut = until(recording(), {"transactions": {0: 12}, "transaction_labels": {0: 2}})
    assert len(cut.sources["transactions"].place) == len(cut.decisions["fraud"].table) == 12
    assert len(cut.sources["transaction_labels"].events) == 2
    assert not cut.sources["transactions"].bad


def test_a_source_that_told_no_position_was_not_read() -> None:
    cut = until(recording(), {"transactions": {0: 21}})
    assert len(cut.sources["transaction_labels"].place) == 0
    assert len(cut.sources["transactions"].bad) == 1


def test_what_a_job_goes_on_to_decide_is_left_aside() -> None:
    before = {"transactions": {0: 12}, "transaction_labels": {0: 2}}
    after = {"transactions": {0: 15}, "transaction_labels": {0: 3}}
    assert settled(recording(), before, after) == before


def test_a_job_that_ended_may_have_told_less_than_it_decided() -> None:
    before = {"transactions": {0: 12}, "transaction_labels": {0: 2}}
    ends = {"transactions": {0: 20}, "transaction_labels": {0: 3}}
    assert settled(recording(), before, before) == ends
    assert settled(recording(), {}, {}) == ends


def test_a_job_that_ended_may_have_told_less_of_its_facts_than_its_decisions_have_seen() -> None:
    stream = Stream(fraud.card_decisions)
    events = transactions(20, seed=18)
    for event in events[:10]:
        stream.take(fraud.transactions, event)
    for event in events[:3]:
        stream.take(fraud.labels, label_of(event, event["event_time"]))
    for event in events[10:]:
        stream.take(fraud.transactions, event)
    told = {"transactions": {0: 20}, "transaction_labels": {0: 1}}
    whole = {"transactions": {0: 20}, "transaction_labels": {0: 3}}
    assert settled(stream.recording(), told, told) == whole
    assert settled(stream.recording(), whole, whole) == whole


def test_positions_that_decisions_do_not_pass_hold() -> None:
    told = {"transactions": {0: 21}, "transaction_labels": {0: 2}}
    assert settled(recording(), told, told) == told
