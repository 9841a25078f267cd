from __future__ import annotations

import pytest

from headrace_features import Count, Session
from headrace_features.fraud import definitions as fraud
from headrace_features.project import collect
from headrace_schemas.errors import RetryableError
from headrace_streaming.kafka.epochs import Announcement, claim_epoch
from headrace_streaming.kafka.topics import create_topics, topics_of
from histories import view_with
from operator_requests import project_of

TOPICS = topics_of(collect("fraud", [fraud]))
NOBODY = {"bootstrap.servers": "127.0.0.1:9"}


def test_a_source_is_keyed_by_the_entity_that_needs_its_order() -> None:
    keys = {topic.name: topic.key for topic in TOPICS}
    assert keys["transactions"] == "card_id"
    assert keys["transaction_labels"] == "terminal_id"


def test_every_output_of_the_job_has_a_topic() -> None:
    names = [topic.name for topic in TOPICS]
    assert {"decisions", "alerts", "late-events", "dead-letters", "deployments"} <= set(names)
    assert len(set(names)) == len(names)


def test_the_newest_content_of_each_field_stays_as_long_as_a_window_reaches_back() -> None:
    (updates,) = (topic for topic in TOPICS if topic.name == "feature-updates")
    # Thirty days, delayed by seven, and seven more that can be asked about; a hop of 1 ms.
    assert updates.config["retention.ms"] == str(44 * 86_400_000 + 1)
    assert updates.config["cleanup.policy"] == "compact,delete"


def test_fields_of_a_view_without_a_bound_stay_for_ever() -> None:
    topics = topics_of(project_of(view_with(Count(windows=[Session("1h")]))))
    (updates,) = (topic for topic in topics if topic.name == "feature-updates")
    kept = {"retention.ms": "-1", "cleanup.policy": "compact"}
    assert updates.config == kept | {"max.message.bytes": str(8 << 20)}


def test_what_is_said_of_the_largest_record_fits_into_a_record() -> None:
    most_read = 2 << 20
    written = {"decisions", "alerts", "late-events", "dead-letters", "feature-updates"}
    for topic in TOPICS:
        if topic.name in written:
            assert int(topic.config["max.message.bytes"]) == 4 * most_read


def test_deployments_are_numbered_for_ever() -> None:
    (deployments,) = (topic for topic in TOPICS if topic.name == "deployments")
    assert deployments.partitions == 1
    assert deployments.config["retention.ms"] == "-1"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: create_topics(NOBODY, TOPICS),
        lambda: claim_epoch(NOBODY, Announcement(project="x", mode="ordered")),
    ],
)
def test_a_broker_that_does_not_answer_can_be_tried_again(ask: object) -> None:
    with pytest.raises(RetryableError, match=r"no Kafka broker answers at 127\.0\.0\.1:9"):
        ask()  # type: ignore[operator] # one of the two above
