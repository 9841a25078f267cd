"""Features through Feast's SDK equal the oracle: historical ones, and online as of any time."""

from __future__ import annotations

import random
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import feast
import pandas as pd
import pyarrow as pa
import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from headrace_batch.materialize import materialize_view
from headrace_features import oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.feast_plugin import repository
from headrace_features.fraud.definitions import card_activity, fraud, terminal_risk
from headrace_features.oracle import SpineRow
from headrace_features.project import load_project
from headrace_schemas.errors import BadRecordError, UnsupportedError
from headrace_schemas.settings import Settings
from headrace_schemas.tables import relative_path
from histories import bits
from lakes import settings_in, unwatched, write_events, write_simulated

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

REPOSITORY = Path(__file__).parents[2] / "features" / "feature_repo"
LAST_DAY = date(2018, 5, 10)
BOUNDARY_MS = int(datetime(2018, 5, 11, tzinfo=UTC).timestamp()) * 1000
ROWS = Mapping[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, ROWS]:
    """A warehouse with events, registered and materialized views."""
    home = tmp_path_factory.mktemp("home")
    settings = settings_in(home)
    rows = write_simulated(settings)
    repository.apply(settings, load_project(settings))
    for view in (card_activity, terminal_risk):
        materialize_view(settings, view, LAST_DAY, unwatched)
    return settings, rows


@pytest.fixture
def store(lake: tuple[Settings, ROWS]) -> feast.FeatureStore:
    """Feast's store on the warehouse."""
    return repository.feature_store(lake[0])


def expected(rows: ROWS, spine: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The service's values by the oracle for rows with both keys, event_time and transaction_id."""
    result: list[dict[str, Any]] = [{} for _ in spine]
    for view in (card_activity, terminal_risk):
        asked = [
            SpineRow(row[view.entity.join_key], row["event_time"], row.get("transaction_id"))
            for row in spine
        ]
        for target, values in zip(
            result, oracle.values(view, rows[view.source.name], asked), strict=True
        ):
            target.update({f"{view.name}__{name}": value for name, value in values.items()})
    return result


def entity_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Transactions as Feast is asked for their features."""
    times = pd.to_datetime([row["event_time"] for row in rows], unit="ms", utc=True)
    names = ("transaction_id", "card_id", "terminal_id")
    columns = {name: [row[name] for row in rows] for name in names}
    return pd.DataFrame({**columns, "event_timestamp": times})


def test_historical_features_equal_the_oracle_as_of_each_rows_own_timestamp(
    lake: tuple[Settings, ROWS], store: feast.FeatureStore
) -> None:
    chosen = random.Random(1).sample(lake[1]["transactions"], 60)
    entity_df = entity_frame(chosen)
    found = store.get_historical_features(
        entity_df, features=store.get_feature_service("fraud"), full_feature_names=True
    ).to_df()
    assert list(found["transaction_id"]) == list(entity_df["transaction_id"])
    for name, values in pd.DataFrame(expected(lake[1], chosen)).items():
        pd.testing.assert_series_equal(
            found[name], values, check_dtype=False, check_names=False, check_exact=True
        )
    assert found["card_activity__count_1d"].dtype == "int64"


def test_historical_features_are_computed_on_spark_where_the_project_says_so_to_the_same_bits(
    lake: tuple[Settings, ROWS], store: feast.FeatureStore, spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "headrace.toml").write_text(
        f'home = "{lake[0].home}"\n[project]\nname = "fraud"\n'
        'definitions = ["headrace_features.fraud.definitions"]\n[engine]\ndefault = "spark"\n',
        encoding="utf-8",
    )
    shutil.copytree(REPOSITORY, tmp_path / "feature_repo")
    with warnings.catch_warnings():
        # Feast warns of its own defaults.
        warnings.simplefilter("ignore")
        on_spark = feast.FeatureStore(repo_path=str(tmp_path / "feature_repo"))
    entity_df = entity_frame(random.Random(3).sample(lake[1]["transactions"], 60))

    def retrieved(store: feast.FeatureStore) -> tuple[pa.Table, int]:
        """The features, and how many jobs Spark has run for them."""
        group = str(store.repo_path)
        spark.sparkContext.setJobGroup(group, "features through Feast")
        job = store.get_historical_features(
            entity_df, features=store.get_feature_service("fraud"), full_feature_names=True
        )
        table = job.to_arrow()
        return table, len(spark.sparkContext.statusTracker().getJobIdsForGroup(group))

    (expected_table, none), (found, jobs) = retrieved(store), retrieved(on_spark)
    assert none == 0
    assert jobs > 0
    assert found.schema.equals(expected_table.schema)
    for name in found.column_names:
        values, wanted = found[name].to_pylist(), expected_table[name].to_pylist()
        assert [bits(value) for value in values] == [bits(value) for value in wanted], name


def test_online_features_equal_the_oracle_at_each_rows_own_time(
    lake: tuple[Settings, ROWS], store: feast.FeatureStore
) -> None:
    known = {
        source: [row for row in rows if row["event_time"] < BOUNDARY_MS]
        for source, rows in lake[1].items()
    }
    chance = random.Random(2)
    recent = [r for r in known["transactions"] if r["event_time"] > BOUNDARY_MS - 7 * DAY_MS]
    spine = []
    for row in chance.sample(recent, 40):
        later_ms = chance.choice([0, 1, HOUR_MS, DAY_MS, 20 * DAY_MS])
        spine.append(
            {
                "card_id": row["card_id"],
                "terminal_id": row["terminal_id"],
                "event_time": row["event_time"] + later_ms,
                "transaction_id": row["transaction_id"],
            }
        )
    found = store.get_online_features(
        features=store.get_feature_service("fraud"),
        entity_rows=[
            {
                "card_id": row["card_id"],
                "terminal_id": row["terminal_id"],
                "as_of": row["event_time"],
                "current_event": row["transaction_id"],
            }
            for row in spine
        ],
        full_feature_names=True,
    ).to_dict()
    wanted = expected(known, spine)
    for name in wanted[0]:
        assert [bits(v) for v in found[name]] == [bits(row[name]) for row in wanted], name


def test_integers_stay_integers_beside_nulls_in_frames(
    lake: tuple[Settings, ROWS], store: feast.FeatureStore
) -> None:
    at_ms = BOUNDARY_MS - 1
    known = [row for row in lake[1]["transactions"] if row["event_time"] <= at_ms]
    last = max(known, key=lambda row: row["event_time"])
    cards = [last["card_id"], "nobody"]
    features = ["card_activity:event_time_last_30d_excluding_current", "card_activity:count_1d"]
    spine = pd.DataFrame(
        {"card_id": cards, "event_timestamp": pd.to_datetime([at_ms] * 2, unit="ms", utc=True)}
    )
    brings: dict[str, list[Any]] = {"amount_minor": [1, 1], "latitude": [1, 1], "longitude": [1, 1]}
    rows: dict[str, list[Any]] = {"card_id": cards, "as_of": [at_ms] * 2}
    native = store.get_online_features(features, rows)
    through_feast = store.get_online_features(
        [*features, "transaction_context:km_since_last"], rows | brings
    )
    history = store.get_historical_features(spine, features=features)
    for frame in (native.to_df(), through_feast.to_df(), history.to_df()):
        newest, count = frame["event_time_last_30d_excluding_current"], frame["count_1d"]
        assert (newest.dtype, count.dtype) == ("Int64", "int64")
        assert newest.tolist() == [last["event_time"], pd.NA]
        assert count.iloc[1] == 0


def test_values_decay_with_no_new_event(
    lake: tuple[Settings, ROWS], store: feast.FeatureStore
) -> None:
    last = max(
        (r for r in lake[1]["transactions"] if r["event_time"] < BOUNDARY_MS),
        key=lambda row: row["event_time"],
    )
    at = datetime.fromtimestamp(last["event_time"] / 1000, tz=UTC)
    found = store.get_online_features(
        features=["card_activity:count_1h"],
        entity_rows=[
            {"card_id": last["card_id"], "as_of": moment}
            for moment in (at.isoformat(), at + timedelta(hours=1), None)
        ],
    ).to_dict()
    assert found["count_1h"][0] >= 1
    assert found["count_1h"][1:] == [0, 0]


def test_an_unknown_entity_has_the_values_of_empty_windows_and_the_status_not_found(
    store: feast.FeatureStore,
) -> None:
    response = store.get_online_features(
        features=["card_activity:count_1d", "card_activity:amount_minor_mean_1d"],
        entity_rows=[{"card_id": "nobody", "as_of": BOUNDARY_MS - 1}],
    )
    values = response.to_dict()
    assert (values["count_1d"], values["amount_minor_mean_1d"]) == ([0], [None])
    statuses = {tuple(vector.statuses) for vector in response.proto.results[1:]}
    not_found = FieldStatus.NOT_FOUND
    assert statuses == {(not_found,)}


def test_a_time_that_is_no_longer_held_is_refused_with_the_way_to_history(
    store: feast.FeatureStore,
) -> None:
    with pytest.raises(UnsupportedError, match=r"can answer from 2018-05-04.*features history"):
        store.get_online_features(
            features=["card_activity:count_1d"],
            entity_rows=[{"card_id": "card-000001", "as_of": "2018-04-20"}],
        )


def test_a_missing_join_key_is_named(store: feast.FeatureStore) -> None:
    with pytest.raises(BadRecordError, match="no terminal_id, the join key of terminal_risk"):
        store.get_online_features(
            features=["card_activity:count_1d", "terminal_risk:count_1d_delayed_7d"],
            entity_rows=[{"card_id": "card-000001"}],
        )


def test_applying_definitions_leaves_plain_views_and_their_values_alone(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    project = load_project(settings)
    repository.apply(settings, project)
    store = repository.feature_store(settings)
    prices = pd.DataFrame(
        {"item": ["a"], "event_timestamp": [datetime(2018, 5, 1, tzinfo=UTC)], "price": [7]}
    )
    prices.to_parquet(tmp_path / "prices.parquet")
    item = feast.Entity(name="item", join_keys=["item"], value_type=feast.ValueType.STRING)
    plain = feast.FeatureView(
        name="prices",
        entities=[item],
        schema=[
            feast.Field(name="item", dtype=feast.types.String),
            feast.Field(name="price", dtype=feast.types.Int64),
        ],
        source=feast.FileSource(
            path=str(tmp_path / "prices.parquet"), timestamp_field="event_timestamp"
        ),
    )
    store.apply([item, plain, feast.FeatureService(name="shop", features=[plain])])
    store.write_to_online_store("prices", prices)

    fewer = replace(project, services={})
    repository.apply(settings, fewer)

    store = repository.feature_store(settings)
    assert {view.name for view in store.list_feature_views()} == {*project.views, "prices"}
    assert [service.name for service in store.list_feature_services()] == ["shop"]
    got = store.get_online_features(features=["prices:price"], entity_rows=[{"item": "a"}])
    assert got.to_dict()["price"] == [7]


def test_plain_materialize_is_refused_with_the_right_command(store: feast.FeatureStore) -> None:
    with pytest.raises(UnsupportedError, match="headrace materialize"):
        store.materialize_incremental(end_date=datetime(2018, 6, 1, tzinfo=UTC))


def test_a_new_generation_replaces_the_former_at_once_and_adds_late_labels(
    tmp_path: Path,
) -> None:
    settings = settings_in(tmp_path)
    rows = write_simulated(settings)
    repository.apply(settings, load_project(settings))
    store = repository.feature_store(settings)
    terminal = rows["transaction_labels"][0]["terminal_id"]
    asked = {"terminal_id": terminal, "as_of": BOUNDARY_MS}
    names = ["terminal_risk:count_30d_delayed_7d"]

    def value() -> Any:
        return store.get_online_features(features=names, entity_rows=[asked]).to_dict()[
            "count_30d_delayed_7d"
        ][0]

    assert value() is None, "a view that was never materialized has no values"
    materialize_view(settings, terminal_risk, LAST_DAY, unwatched)
    before = value()
    event_ms = BOUNDARY_MS - 10 * DAY_MS
    late = {
        **rows["transaction_labels"][0],
        "transaction_id": "late",
        "event_time": event_ms,
        "reported_at": event_ms + 9 * DAY_MS,
    }
    write_events(settings, terminal_risk.source.table, pa.Table.from_pylist([late]))
    assert value() == before
    materialize_view(settings, terminal_risk, LAST_DAY, unwatched)
    assert value() == before + 1
    assert (settings.home / "warehouse" / relative_path(terminal_risk.source.table)).is_dir()


def test_plain_feast_views_in_the_same_repository_are_kept_as_feast_keeps_them(
    store: feast.FeatureStore, tmp_path: Path
) -> None:
    path = tmp_path / "limits.parquet"
    pd.DataFrame(
        {
            "card_id": ["card-000001"],
            "limit_minor": [500_000],
            "event_timestamp": [pd.Timestamp("2018-05-01", tz="UTC")],
        }
    ).to_parquet(path)
    plain = feast.FeatureView(
        name="card_limits",
        entities=[store.get_entity("card")],
        schema=[
            feast.Field(name="card_id", dtype=feast.types.String),
            feast.Field(name="limit_minor", dtype=feast.types.Int64),
        ],
        source=feast.FileSource(path=str(path), timestamp_field="event_timestamp"),
    )
    store.apply([plain])
    store.materialize(
        datetime(2018, 4, 1, tzinfo=UTC), datetime(2018, 6, 1, tzinfo=UTC), ["card_limits"]
    )
    found = store.get_online_features(
        features=["card_limits:limit_minor", "card_activity:count_30d"],
        entity_rows=[{"card_id": "card-000001", "as_of": BOUNDARY_MS}],
    ).to_dict()
    assert found["limit_minor"] == [500_000]
    assert found["count_30d"][0] > 0


def test_the_service_names_every_feature_of_its_views(store: feast.FeatureStore) -> None:
    service = store.get_feature_service("fraud")
    projected = {p.name: {f.name for f in p.features} for p in service.feature_view_projections}
    assert projected == {
        selection.view.name: set(selection.names) for selection in fraud.selections
    }
