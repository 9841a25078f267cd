"""What a stream's state refuses is right after the next increment, and accounted for."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace_features import FeatureReader, oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.oracle import SpineRow
from headrace_features.project import load_project
from headrace_schemas.settings import Settings, load
from headrace_streaming.kafka.clients import kafka_config
from live_run import until
from streams import headrace, received, send_events

DEFINITIONS = """
from headrace_features import Count, Entity, EventSource, FeatureView, Sliding, Sum
from headrace_schemas.events import Event, Identifier, TimeMs


class Reading(Event, frozen=True, kw_only=True):
    reading_id: Identifier
    sensor_id: Identifier
    event_time: TimeMs
    amount: int


sensor = Entity("sensor", join_key="sensor_id")
readings = EventSource("readings", schema=Reading, dedup_key="reading_id")
# What is before events that no window reaches any more, the stream's state refuses.
lately = FeatureView(
    name="lately",
    version=1,
    entity=sensor,
    source=readings,
    aggregates=[
        Count(windows=[Sliding("2h"), Sliding("3h")]),
        Sum("amount", windows=[Sliding("3h")]),
    ],
)
"""
FIRST_MS = int(datetime(2024, 3, 4, tzinfo=UTC).timestamp()) * 1000
SENSORS = [f"sensor-{number}" for number in range(6)]


def reading(sensor: str, at_ms: int) -> dict[str, Any]:
    number = at_ms // 1000
    return {
        "reading_id": f"{sensor} {number}",
        "sensor_id": sensor,
        "event_time": at_ms,
        "amount": number % 97,
    }


@pytest.fixture
def sensors(tmp_path: Path, home: Path) -> Settings:
    """A project whose stream runs."""
    (tmp_path / "headrace.toml").write_text(
        '[project]\nname = "sensors"\ndefinitions = ["sensor_definitions"]\n'
    )
    (tmp_path / "sensor_definitions.py").write_text(DEFINITIONS)
    headrace(home, "up", folder=tmp_path)
    headrace(home, "stream", "deploy", folder=tmp_path)
    return load(tmp_path, {"HEADRACE_HOME": str(home)})


@pytest.mark.timeout(600)  # two runs on Spark
def test_what_the_stream_refused_is_healed_by_the_next_increment_and_accounted_for(
    sensors: Settings, tmp_path: Path
) -> None:
    config, view = kafka_config(sensors), load_project(sensors).view("lately")
    reader = FeatureReader.of(sensors, load_project(sensors), "lately")
    came: list[dict[str, Any]] = []

    def send(events: list[dict[str, Any]]) -> None:
        came.extend(events)
        send_events(config, "readings", "sensor_id", events)
        received(config, "decisions", len(came))

    def move_boundary(day: int) -> None:
        last = datetime.fromtimestamp(FIRST_MS / 1000, UTC).date() + timedelta(day)
        headrace(sensors.home, "ingest", "--from-kafka", folder=tmp_path)
        headrace(sensors.home, "materialize", "--date", f"{last}", folder=tmp_path)

    def values(time_ms: int) -> dict[str, Mapping[str, Any]]:
        rows = [{"sensor_id": one, "as_of": time_ms} for one in SENSORS]
        found = reader.read(rows)
        return dict(zip(SENSORS, (one.to_dict() for one in found), strict=True))

    def expected(time_ms: int) -> dict[str, Mapping[str, Any]]:
        rows = oracle.values(view, came, [SpineRow(one, time_ms) for one in SENSORS])
        named = ({f"lately__{name}": value for name, value in row.items()} for row in rows)
        return dict(zip(SENSORS, named, strict=True))

    send([reading(one, FIRST_MS + at * HOUR_MS) for at in (9, 23, 26) for one in SENSORS])
    move_boundary(0)
    # Out of order, and some of it twice.
    send([reading(one, FIRST_MS + at * HOUR_MS) for at in (46, 31, 54) for one in SENSORS])
    send_events(config, "readings", "sensor_id", came[-3:])
    # Of a day that the layer doesn't have yet, and the state has let go of.
    refused, missed_ms = SENSORS[:4], FIRST_MS + DAY_MS + 21 * HOUR_MS + 600_000
    send([reading(one, missed_ms) for one in refused])
    noted = [json.loads(one.value() or b"") for one in received(config, "late-events", 13)]
    reasons = Counter(one["reason"] for one in noted)
    assert reasons == {"late": len(SENSORS), "duplicate": 3, "too_old": len(refused)}

    end_ms = FIRST_MS + 2 * DAY_MS - 1
    # Since what was refused is not in the store, what is has to be all there is.
    until(lambda: values(end_ms)[SENSORS[5]] == expected(end_ms)[SENSORS[5]], "it is all written")
    # When the event should have come into values, and at the end of its day.
    moments = (missed_ms, end_ms)
    before = [values(one) for one in moments]
    began_ms = time.time_ns() // 1_000_000
    move_boundary(1)
    after = [values(one) for one in moments]
    assert after == [expected(one) for one in moments]
    pairs = list(zip(before, after, strict=True))
    probed = {
        name: [max(abs(new[one][name] - old[one][name]) for old, new in pairs) for one in SENSORS]
        for name in after[0][SENSORS[0]]
    }
    told = json.loads(headrace(sensors.home, "online", "healed", "--json", folder=tmp_path).stdout)
    accounted = {f"lately__{one['feature']}": one for one in told}
    # At the end of the day the window of two hours is past it.
    assert [one["lately__count_2h"] for one in before[1].values()] == [
        one["lately__count_2h"] for one in after[1].values()
    ]
    assert accounted.keys() == {*probed}
    for name, one in accounted.items():
        off = [difference for difference in probed[name] if difference]
        assert one["day"] == "2024-03-05"
        assert one["values_off"] == len(off) == len(refused)
        assert one["greatest_difference"] == max(off)
        assert one["mean_difference"] == sum(off) / len(off)
        # Since the event could be known.
        assert one["longest_ms"] >= began_ms - missed_ms
