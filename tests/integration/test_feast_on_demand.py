"""On-demand features through Feast: equal to the oracle in histories and online, and only asked."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import feast
import pandas as pd
import pyarrow as pa
import pytest
from feast.errors import (
    RequestDataNotFoundInEntityDfException,
    RequestDataNotFoundInEntityRowsException,
)
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from headrace_batch.local_engine import LocalEngine
from headrace_batch.materialize import materialize_view
from headrace_batch.spark_engine import SparkEngine
from headrace_features import FeatureReader, FeatureService, OnDemandView, oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.definitions.on_demand import RESERVED, AnySelection
from headrace_features.expressions.rows import evaluate
from headrace_features.feast_plugin import repository
from headrace_features.feast_plugin.entity_rows import FRESHNESS
from headrace_features.feast_plugin.registry_file import registered_views
from headrace_features.fraud.definitions import (
    card_activity,
    fraud_scoring,
    terminal_risk,
    transaction_context,
)
from headrace_features.online.query_times import AS_OF, CURRENT
from headrace_features.online.stores import open_store
from headrace_features.oracle import SpineRow
from headrace_features.project import load_project
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.settings import Settings
from histories import bits, finite
from lakes import settings_in, unwatched, write_simulated

if TYPE_CHECKING:
    from pathlib import Path

    from headrace_features.project import Project

LAST_DAY = date(2018, 5, 10)
BOUNDARY_MS = int(datetime(2018, 5, 11, tzinfo=UTC).timestamp()) * 1000
BROUGHT = ("amount_minor", "latitude", "longitude")
CONTEXT = [f"transaction_context:{name}" for name in transaction_context.feature_names]
ROWS = Mapping[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, ROWS]:
    """A warehouse with events, registered and materialized views."""
    settings = settings_in(tmp_path_factory.mktemp("home"))
    rows = write_simulated(settings)
    repository.apply(settings, load_project(settings))
    for view in (card_activity, terminal_risk):
        materialize_view(settings, view, LAST_DAY, unwatched)
    return settings, rows


@pytest.fixture
def store(lake: tuple[Settings, ROWS]) -> feast.FeatureStore:
    return repository.feature_store(lake[0])


def asked(rows: ROWS, seed: int) -> list[dict[str, Any]]:
    """Transactions of the last days, at their time or later, some with odd amounts and places."""
    chance = random.Random(seed)
    known = [r for r in rows["transactions"] if r["event_time"] < BOUNDARY_MS]
    recent = [r for r in known if r["event_time"] > BOUNDARY_MS - 6 * DAY_MS]
    found = []
    for row in chance.sample(recent, 40):
        later_ms = chance.choice([0, 0, 1, HOUR_MS, 20 * DAY_MS])
        odd: dict[str, Any] = chance.choice(
            [
                {},
                {},
                {"amount_minor": None},
                {"amount_minor": 0, "latitude": -0.0},
                {"amount_minor": 2**63 - 1, "longitude": 180.0},
                {"latitude": None},
                {"latitude": 1e308, "longitude": -1e308},
            ]
        )
        found.append({**row, **odd, "event_time": row["event_time"] + later_ms})
    return [*found, {**found[0], "card_id": "nobody", "transaction_id": "none"}]


def expected(rows: ROWS, spine: list[dict[str, Any]], context: OnDemandView) -> list[list[object]]:
    """The bits of the expressions on the oracle's values; what is no finite number is null."""
    rows_asked = [
        SpineRow(row["card_id"], row["event_time"], row["transaction_id"]) for row in spine
    ]
    read = oracle.values(card_activity, rows["transactions"], rows_asked)
    return [
        [
            bits(
                finite(
                    evaluate(
                        feature.expression.node,
                        {**row, **{f"card_activity__{name}": v for name, v in values.items()}},
                    )
                )
            )
            for row, values in zip(spine, read, strict=True)
        ]
        for feature in context.computed
    ]


def entity_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    times = pd.to_datetime([row["event_time"] for row in rows], unit="ms", utc=True)
    names = ("transaction_id", "card_id", "terminal_id", "latitude", "longitude")
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in names}
    # Beside nulls pandas would make doubles of integers, and 2**63 - 1 is none.
    columns["amount_minor"] = pd.array([row["amount_minor"] for row in rows], "Int64")
    return pd.DataFrame({**columns, "event_timestamp": times})


def entity_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            **{name: row[name] for name in ("card_id", "terminal_id", *BROUGHT)},
            AS_OF: row["event_time"],
            CURRENT: row["transaction_id"],
        }
        for row in rows
    ]


def test_histories_and_online_values_equal_the_expressions_on_the_oracles_values(
    lake: tuple[Settings, ROWS], store: feast.FeatureStore
) -> None:
    spine = asked(lake[1], 1)
    known = {"transactions": [r for r in lake[1]["transactions"] if r["event_time"] < BOUNDARY_MS]}
    wanted = expected(known, spine, transaction_context)
    online = store.get_online_features(features=CONTEXT, entity_rows=entity_rows(spine)).to_dict()
    at_event = [row for row in spine if row["event_time"] < BOUNDARY_MS]
    history = store.get_historical_features(entity_frame(at_event), features=CONTEXT).to_arrow()
    places = [at for at, row in enumerate(spine) if row["event_time"] < BOUNDARY_MS]
    for name, values in zip(transaction_context.feature_names, wanted, strict=True):
        assert [bits(value) for value in online[name]] == values, name
        found = [bits(value) for value in history[name].to_pylist()]
        assert found == [values[at] for at in places], name
        assert len(set(values)) > 10


def test_only_what_is_asked_for_is_in_the_answer(store: feast.FeatureStore) -> None:
    row = {"card_id": "card-000001", "terminal_id": "terminal-000001", AS_OF: BOUNDARY_MS}
    row |= {"amount_minor": 900, "latitude": 48, "longitude": 11.5}
    frame = pd.DataFrame(
        {**{name: [value] for name, value in row.items() if name != AS_OF}}
        | {"event_timestamp": [pd.Timestamp(BOUNDARY_MS, unit="ms", tz="UTC")]}
    )
    whole = [f"{one.view.name}__{name}" for one in fraud_scoring.asked for name in one.names]
    cases: list[tuple[Any, bool, list[str]]] = [
        (["transaction_context:km_since_last"], False, ["km_since_last"]),
        (
            ["transaction_context:amount_to_mean", "terminal_risk:count_1d_delayed_7d"],
            True,
            ["terminal_risk__count_1d_delayed_7d", "transaction_context__amount_to_mean"],
        ),
        (
            ["card_activity:amount_minor_mean_30d", "transaction_context:amount_to_mean"],
            False,
            ["amount_minor_mean_30d", "amount_to_mean"],
        ),
        (store.get_feature_service("fraud_scoring"), True, whole),
    ]
    for features, full, columns in cases:
        found = store.get_online_features(
            features=features, entity_rows=[row], full_feature_names=full
        ).to_dict()
        assert set(found) - {"card_id", "terminal_id"} == set(columns)
        history = store.get_historical_features(frame, features=features, full_feature_names=full)
        assert set(history.to_df().columns) - set(frame.columns) == set(columns)


def test_an_answer_does_not_depend_on_what_else_is_asked_for(
    lake: tuple[Settings, ROWS], store: feast.FeatureStore
) -> None:
    rows = entity_rows(asked(lake[1], 2))
    alone = store.get_online_features(features=CONTEXT, entity_rows=rows).to_dict()
    beside = store.get_online_features(
        features=["card_activity:count_1d", *CONTEXT], entity_rows=rows
    ).to_dict()
    service = store.get_online_features(
        features=store.get_feature_service("fraud_scoring"),
        entity_rows=rows,
        full_feature_names=True,
    ).to_dict()
    for name in transaction_context.feature_names:
        values = [bits(value) for value in alone[name]]
        assert [bits(value) for value in beside[name]] == values
        assert [bits(value) for value in service[f"transaction_context__{name}"]] == values


def test_the_reader_without_feast_gives_the_same_bits(
    lake: tuple[Settings, ROWS], store: feast.FeatureStore
) -> None:
    rows = entity_rows(asked(lake[1], 4))
    by_feast = store.get_online_features(
        features=["card_activity:count_1d", *CONTEXT], entity_rows=rows, full_feature_names=True
    ).to_dict()
    chosen: list[AnySelection] = [
        card_activity.select("count_1d"),
        transaction_context.select("km_since_last"),
    ]
    reader = FeatureReader(open_store(lake[0]), chosen)
    found = reader.read(rows)
    names = ["card_activity__count_1d", "transaction_context__km_since_last"]
    assert {tuple(row) for row in found} == {tuple(names)}
    for name in names:
        wanted = [bits(value) for value in by_feast[name]]
        assert [bits(row[name]) for row in found] == wanted
    assert reader.read([{**rows[0], "as_of": BOUNDARY_MS}])[0].incomplete == set(names)
    with pytest.raises(BadRecordError, match="a row brings no longitude"):
        reader.read([{name: value for name, value in rows[0].items() if name != "longitude"}])


@pytest.mark.usefixtures("spark")
def test_both_engines_compute_the_same_from_a_spine(lake: tuple[Settings, ROWS]) -> None:
    spine = pa.Table.from_pylist(
        [
            {name: row[name] for name in ("card_id", "terminal_id", "event_time", *BROUGHT)}
            for row in asked(lake[1], 3)
        ]
    )
    local = LocalEngine(lake[0]).history(fraud_scoring.asked, spine)
    on_spark = SparkEngine(lake[0]).history(fraud_scoring.asked, spine)
    assert local.schema == on_spark.schema
    for name in local.column_names:
        values = [bits(value) for value in local[name].to_pylist()]
        assert [bits(value) for value in on_spark[name].to_pylist()] == values, name
    empty = LocalEngine(lake[0]).history(fraud_scoring.asked, spine.slice(0, 0))
    assert empty.schema == local.schema


def test_what_is_made_of_the_request_alone_needs_no_entity(lake: tuple[Settings, ROWS]) -> None:
    view = OnDemandView(
        "payment", 1, [card_activity], {"euros": "amount_minor / 100"}, {"amount_minor": int}
    )
    spine = pa.table({"amount_minor": pa.array([250, None])})
    found = LocalEngine(lake[0]).history([view.select("euros")], spine)
    assert found["payment__euros"].to_pylist() == [2.5, None]


def test_a_value_has_the_status_of_what_it_is_made_of(store: feast.FeatureStore) -> None:
    given = {"amount_minor": 100, "latitude": None, "longitude": 2}
    response = store.get_online_features(
        features=CONTEXT,
        entity_rows=[
            {"card_id": card, AS_OF: BOUNDARY_MS - 1, **given} for card in ("card-000001", "nobody")
        ],
    )
    statuses = dict(
        zip(
            response.proto.metadata.feature_names.val,
            (tuple(vector.statuses) for vector in response.proto.results),
            strict=True,
        )
    )
    assert statuses["amount_to_mean"] == (FieldStatus.PRESENT, FieldStatus.NOT_FOUND)
    assert statuses["km_since_last"] == (FieldStatus.NULL_VALUE, FieldStatus.NOT_FOUND)
    later = store.get_online_features(
        features=CONTEXT, entity_rows=[{"card_id": "card-000001", AS_OF: BOUNDARY_MS, **given}]
    )
    assert tuple(later.proto.results[1].statuses) == (FieldStatus.OUTSIDE_MAX_AGE,)


def test_freshness_is_told_of_what_is_asked_for_alone(store: feast.FeatureStore) -> None:
    row = {"card_id": "card-000001", FRESHNESS: True, AS_OF: BOUNDARY_MS}
    row |= {"amount_minor": 1, "latitude": 1.0, "longitude": 1.0}
    found = store.get_online_features(
        features=["card_activity:count_1d", *CONTEXT], entity_rows=[row]
    ).to_dict()
    assert '"count_1d"' in found["card_activity__freshness"][0]
    assert "amount_minor_mean_30d" not in found["card_activity__freshness"][0]


def test_what_a_request_lacks_or_brings_wrongly_is_named(store: feast.FeatureStore) -> None:
    row = {"card_id": "card-000001", "amount_minor": 1, "latitude": 1.0}
    with pytest.raises(RequestDataNotFoundInEntityRowsException, match="'longitude'"):
        store.get_online_features(features=CONTEXT, entity_rows=[row])
    with pytest.raises(BadRecordError, match="longitude='east' of the request is str, expected"):
        store.get_online_features(features=CONTEXT, entity_rows=[{**row, "longitude": "east"}])
    with pytest.raises(BadRecordError, match="no card_id, the join key of card_activity"):
        store.get_online_features(
            features=CONTEXT, entity_rows=[{"amount_minor": 1, "latitude": 1, "longitude": 1}]
        )
    frame = pd.DataFrame(
        {**{name: [value] for name, value in row.items()}, "event_timestamp": [datetime.now(UTC)]}
    )
    with pytest.raises(RequestDataNotFoundInEntityDfException, match="longitude"):
        store.get_historical_features(frame, features=CONTEXT)


def test_every_reserved_key_of_entity_rows_is_refused_in_a_declared_request() -> None:
    assert {AS_OF, CURRENT, FRESHNESS} <= set(RESERVED)


def test_the_registry_has_names_and_texts_and_no_code(store: feast.FeatureStore) -> None:
    view = store.get_on_demand_feature_view("transaction_context")
    function = view.to_proto().spec.feature_transformation.user_defined_function
    assert len(function.body) < 100
    assert b"headrace_features.feast_plugin.on_demand_objects" in function.body
    assert b"evaluated_by_headrace" in function.body
    lines = function.body_text.splitlines()
    assert all(line.startswith("# ") for line in lines)
    assert "# amount_to_mean = amount_minor / card_activity__amount_minor_mean_30d" in lines
    assert set(view.source_feature_view_projections) == {"card_activity"}
    (source,) = view.source_request_sources.values()
    assert [field.name for field in source.schema] == list(BROUGHT)


@contextmanager
def applied(home: Path, project: Project) -> Iterator[feast.FeatureStore]:
    settings = settings_in(home)
    repository.apply(settings, project)
    yield repository.feature_store(settings)


def test_a_changed_meaning_is_refused_and_what_is_no_longer_declared_leaves_the_registry(
    tmp_path: Path,
) -> None:
    settings = settings_in(tmp_path)
    project = load_project(settings)
    repository.apply(settings, project)
    assert "transaction_context" in registered_views(settings.feast.registry, "fraud")
    changed = replace(
        transaction_context,
        features={**transaction_context.features, "euros": "amount_minor / 100"},
    )
    other = replace(project, on_demand={"transaction_context": changed})
    with pytest.raises(ConfigurationError, match=r"transaction_context has changed.*euros"):
        repository.apply(settings, other)
    newer = replace(changed, version=2)
    repository.apply(settings, replace(project, on_demand={"transaction_context": newer}))
    with pytest.raises(ConfigurationError, match="transaction_context is not registered as it is"):
        repository.feature_store(settings).get_online_features(
            features=["transaction_context:euros"],
            entity_rows=[{"card_id": "a", "amount_minor": 1, "latitude": 1, "longitude": 1}],
        )
    services = {"fraud": project.service("fraud")}
    repository.apply(settings, replace(project, on_demand={}, services=services))
    store = repository.feature_store(settings)
    assert store.list_on_demand_feature_views() == []
    left = {source.name for source in store.list_data_sources()}
    assert set(project.sources) <= left
    assert "transaction_context_request" not in left


def test_applying_again_keeps_every_source_of_what_is_declared(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)

    def sources() -> set[tuple[type, str]]:
        repository.apply(settings, load_project(settings))
        store = repository.feature_store(settings)
        return {(type(source), source.name) for source in store.list_data_sources()}

    first = sources()
    assert (feast.RequestSource, "transaction_context_request") in first
    assert (feast.PushSource, "transactions_push") in first
    assert sources() == first


def test_an_on_demand_view_of_feasts_own_reads_our_features_beside_ours(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    write_simulated(settings)
    repository.apply(settings, load_project(settings))
    materialize_view(settings, card_activity, LAST_DAY, unwatched)
    store = repository.feature_store(settings)
    request = feast.RequestSource(
        name="paid", schema=[feast.Field(name="amount_minor", dtype=feast.types.Int64)]
    )

    def doubled(given: pd.DataFrame) -> pd.DataFrame:
        counts = given["count_30d"].astype("int64")
        return pd.DataFrame({"doubled": counts * 2, "amount_twice": given["amount_minor"] * 2})

    plain = on_demand_feature_view(
        sources=[store.get_feature_view("card_activity")[["count_30d"]], request],
        schema=[
            feast.Field(name="doubled", dtype=feast.types.Int64),
            feast.Field(name="amount_twice", dtype=feast.types.Int64),
        ],
        mode="pandas",
    )(doubled)
    with pytest.warns(RuntimeWarning, match="On demand feature view"):
        store.apply([plain])
    row = {"card_id": "card-000001", AS_OF: BOUNDARY_MS}
    row |= {"amount_minor": 900, "latitude": 48, "longitude": 11.5}
    found = store.get_online_features(
        features=["doubled:doubled", "doubled:amount_twice", "card_activity:count_30d", *CONTEXT],
        entity_rows=[row],
    ).to_dict()
    assert found["doubled"] == [found["count_30d"][0] * 2]
    assert found["amount_twice"] == [1800]
    assert found["amount_to_mean"][0] > 0


def test_a_service_may_name_some_on_demand_features(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    project = load_project(settings)
    distance = FeatureService("distance", [transaction_context.select("km_since_last")])
    with applied(tmp_path, replace(project, services={"distance": distance})) as store:
        found = store.get_online_features(
            features=store.get_feature_service("distance"),
            entity_rows=[{"card_id": "a", "amount_minor": 1, "latitude": 1, "longitude": 1}],
        ).to_dict()
        assert found == {"card_id": ["a"], "km_since_last": [None]}
