"""`feast serve`, a real server on the repository as it is, answers what the SDK answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import feast
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headrace_batch.materialize import materialize_view
from headrace_batch.simulator import simulate
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.feast_plugin import repository
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_features.project import load_project
from headrace_schemas.settings import Settings
from histories import bits
from lakes import FEW, settings_in, unwatched, write_events

REPOSITORY = Path(__file__).parents[2] / "features" / "feature_repo"
#: A day of the simulation on which much happens, and of whose past a month is known.
SIMULATED_LAST_DAY = date(2018, 5, 10)
LAST_DAY = datetime.now(UTC).date() - timedelta(days=1)
Answer = dict[str, list[Any]]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, pa.Table]:
    """Views registered and materialized up to yesterday, of events that ended yesterday."""
    settings = settings_in(tmp_path_factory.mktemp("home"))
    shift_ms = (LAST_DAY - SIMULATED_LAST_DAY).days * DAY_MS
    simulated = simulate(FEW)
    transactions = shifted(simulated.transactions, shift_ms, "event_time")
    write_events(settings, "bronze.transactions", transactions)
    labels = shifted(simulated.labels, shift_ms, "event_time", "reported_at")
    write_events(settings, "bronze.transaction_labels", labels)
    repository.apply(settings, load_project(settings))
    for view in (card_activity, terminal_risk):
        materialize_view(settings, view, LAST_DAY, unwatched)
    return settings, transactions


def shifted(table: pa.Table, by_ms: int, *columns: str) -> pa.Table:
    for name in columns:
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pc.add(table[name], by_ms))
    return table


@contextmanager
def serving(settings: Settings) -> Iterator[HTTPConnection]:
    """A connection to `feast serve` on a free port, which the system chooses."""
    command = Path(sys.executable).with_name("feast")
    arguments = ("-c", str(REPOSITORY), "serve", "--port", "0", "--no-access-log")
    with subprocess.Popen(
        [str(command), *arguments],
        env={**os.environ, "HEADRACE_HOME": str(settings.home)},
        cwd=settings.home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr is not None
        said = []
        try:
            for line in server.stderr:
                said.append(line)
                listening = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", line)
                if listening is not None:
                    break
            else:
                pytest.fail("the server does not listen:\n" + "".join(said))
            connection = HTTPConnection("127.0.0.1", int(listening[1]), timeout=60)
            try:
                yield connection
            finally:
                connection.close()
        finally:
            # Its workers end when it does.
            server.terminate()
            try:
                server.communicate(timeout=60)
            finally:
                server.kill()


@pytest.fixture(scope="module")
def server(lake: tuple[Settings, pa.Table]) -> Iterator[HTTPConnection]:
    with serving(lake[0]) as connection:
        yield connection


def over_http(server: HTTPConnection, entities: Mapping[str, list[Any]], **what: Any) -> Answer:
    """What the server answers, by the names of the columns."""
    request = {"entities": entities, "full_feature_names": True, **what}
    headers = {"Content-Type": "application/json"}
    server.request("POST", "/get-online-features", json.dumps(request), headers)
    response = server.getresponse()
    body = json.loads(response.read())
    assert response.status == 200, body
    names = body["metadata"]["feature_names"]
    results = [result["values"] for result in body["results"]]
    return dict(zip(names, results, strict=True))


def by_sdk(
    store: feast.FeatureStore, entities: Mapping[str, list[Any]], service: str = "fraud"
) -> Answer:
    return store.get_online_features(
        features=store.get_feature_service(service),
        entity_rows={name: list(values) for name, values in entities.items()},
        full_feature_names=True,
    ).to_dict()


def in_bits(answer: Answer) -> dict[str, list[object]]:
    return {name: [bits(value) for value in values] for name, values in answer.items()}


def test_values_as_of_given_times_are_those_of_the_sdk(
    lake: tuple[Settings, pa.Table], server: HTTPConnection
) -> None:
    settings, transactions = lake
    midnight = datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day, tzinfo=UTC)
    midnight_ms = round(midnight.timestamp()) * 1000
    on_last_day = transactions.filter(
        (pc.field("event_time") >= midnight_ms) & (pc.field("event_time") < midnight_ms + DAY_MS)
    )
    rows = on_last_day.slice(0, 20).to_pylist()
    as_of: list[Any] = [row["event_time"] for row in rows]
    as_of[3] = datetime.fromtimestamp(as_of[3] / 1000, UTC).isoformat()
    as_of[4] += 2 * HOUR_MS
    entities = {
        "card_id": [row["card_id"] for row in rows],
        "terminal_id": [row["terminal_id"] for row in rows],
        "as_of": as_of,
        "current_event": [row["transaction_id"] for row in rows],
    }
    answer = over_http(server, entities, feature_service="fraud")
    assert in_bits(answer) == in_bits(by_sdk(repository.feature_store(settings), entities))
    counts = answer["card_activity__count_30d"]
    assert min(counts) > 0
    assert len(set(counts)) > 5
    assert any(answer["terminal_risk__count_30d_delayed_7d"])


def test_values_of_this_moment_are_those_of_the_sdk(
    lake: tuple[Settings, pa.Table], server: HTTPConnection
) -> None:
    settings, transactions = lake
    store = repository.feature_store(settings)
    rows = transactions.slice(0, 10).to_pylist()
    entities = {
        "card_id": [*(row["card_id"] for row in rows), "nobody"],
        "terminal_id": [*(row["terminal_id"] for row in rows), "nowhere"],
    }
    # The moment passes: an event may leave a window between two questions.
    before = in_bits(by_sdk(store, entities))
    answer = over_http(server, entities, feature_service="fraud")
    found, after = in_bits(answer), in_bits(by_sdk(store, entities))
    assert found.keys() == before.keys()
    for name, values in found.items():
        assert all(
            value in moments
            for value, *moments in zip(values, before[name], after[name], strict=True)
        ), name
    assert any(answer["card_activity__count_30d"][:10])
    assert answer["card_activity__count_30d"][10] == 0
    assert answer["card_activity__amount_minor_mean_30d"][10] is None


def test_statuses_and_the_names_of_either_kind_are_told_as_feast_tells_them(
    lake: tuple[Settings, pa.Table], server: HTTPConnection
) -> None:
    boundary_ms = round(datetime.combine(LAST_DAY, time.min, UTC).timestamp()) * 1000 + DAY_MS
    known = lake[1].filter(pc.field("event_time") < boundary_ms).to_pylist()[-1]
    request = {
        "features": ["card_activity:count_30d", "card_activity:amount_minor_mean_30d"],
        "entities": {
            "card_id": [known["card_id"], "nobody", "nobody"],
            "terminal_id": ["t1", "t2", None],
            "as_of": [known["event_time"]] * 3,
            "anything": [1, 2, 3],
        },
        "include_feature_view_version_metadata": True,
    }
    headers = {"Content-Type": "application/json"}
    server.request("POST", "/get-online-features", json.dumps(request), headers)
    answer = json.loads(server.getresponse().read())
    told = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
    assert set(told) == {"card_id", "terminal_id", "count_30d", "amount_minor_mean_30d"}
    assert told["terminal_id"]["values"] == ["t1", "t2", None]
    for name, empty in (("count_30d", 0), ("amount_minor_mean_30d", None)):
        assert told[name]["statuses"] == ["PRESENT", "NOT_FOUND", "NOT_FOUND"]
        assert told[name]["values"][1:] == [empty, empty]
    versions = answer["metadata"]["feature_view_metadata"]
    assert [one["name"] for one in versions] == ["card_activity"]


def test_on_demand_features_are_computed_of_what_the_request_brings(
    lake: tuple[Settings, pa.Table], server: HTTPConnection
) -> None:
    row = lake[1].to_pylist()[-1]
    entities: dict[str, list[Any]] = {
        "card_id": [row["card_id"], row["card_id"], "nobody"],
        "terminal_id": [row["terminal_id"]] * 3,
        "amount_minor": [row["amount_minor"], None, 0],
        "latitude": [48, row["latitude"], row["latitude"]],
        "longitude": [11, row["longitude"], None],
        "as_of": [LAST_DAY.isoformat()] * 3,
    }
    store = repository.feature_store(lake[0])
    answer = over_http(server, entities, feature_service="fraud_scoring")
    assert in_bits(answer) == in_bits(by_sdk(store, entities, "fraud_scoring"))
    assert "amount_minor" not in answer
    assert answer["transaction_context__amount_to_mean"][0] > 0
    assert answer["transaction_context__amount_to_mean"][1:] == [None, None]
    alone = over_http(server, entities, features=["transaction_context:km_since_last"])
    assert list(alone) == ["card_id", "terminal_id", "transaction_context__km_since_last"]


def test_single_features_are_asked_for_by_their_names(
    lake: tuple[Settings, pa.Table], server: HTTPConnection
) -> None:
    card = lake[1]["card_id"][0].as_py()
    entities = {"card_id": [card], "as_of": [LAST_DAY.isoformat()]}
    name = "card_activity:count_30d"
    answer = over_http(server, entities, features=[name], full_feature_names=False)
    store = repository.feature_store(lake[0])
    by_name = store.get_online_features(features=[name], entity_rows=entities).to_dict()
    assert answer == by_name
    assert list(answer) == ["card_id", "count_30d"]
