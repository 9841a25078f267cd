"""What Feast says of any view holds for ours: asked beside a plain view that has the same values.

Where the plain view has null for an entity that nobody knows, ours has the value of empty windows.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import feast
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import feature_server
from feast.errors import FeatureNameCollisionError, FeatureViewNotFoundException
from feast.on_demand_feature_view import on_demand_feature_view
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import RepeatedValue
from feast.protos.feast.types.Value_pb2 import Value as Message

from headrace_batch.materialize import materialize_view
from headrace_features import FeatureReader, oracle
from headrace_features.definitions.views import FeatureView
from headrace_features.feast_plugin import repository
from headrace_features.oracle import SpineRow
from headrace_features.project import load_project
from headrace_schemas.errors import BadRecordError, RetryableError, UnsupportedError
from headrace_schemas.settings import Settings, load
from histories import bits
from lakes import unwatched, write_events

DEFINITIONS = """
from headrace_features import (
    Count, Distinct, Entity, EventSource, FeatureService, FeatureView, First, Last, Mean,
    OnDemandView, Sliding, Sum, Terms, struct,
)
from headrace_schemas.events import Event

class Movement(Event, frozen=True, kw_only=True):
    movement_id: str
    account: int
    branch: str
    event_time: int
    amount: int | None = None
    price: float | None = None
    place: str | None = None
    flag: bool | None = None

owner = Entity("owner", join_key="account")
office = Entity("office", join_key="branch")
movements = EventSource("movements", Movement, dedup_key="movement_id")
lately = FeatureView("lately", 1, owner, movements, [
    Last(struct("amount", "price", "place", "flag")), Count([Sliding("1d")]), Sum("amount"),
    Mean("price", [Sliding("1d")], default=-1.5), Distinct("place"), First("place", default="none"),
])
offices = FeatureView("offices", 1, office, movements, [Last("amount")])
never = FeatureView("never", 1, owner, movements, [Count([Sliding("9d")])])
asking = OnDemandView(
    "asking", 1, [lately], {"counted": "lately__count_1d * factor"}, {"factor": int}
)
both = FeatureService("both", [lately, offices])
strict = FeatureService("strict", [lately], terms=Terms(incomplete="refuse"))
lenient = FeatureService("lenient", [lately], terms=Terms(unavailable="empty"))
"""
AMOUNTS = pa.schema(
    [
        ("movement_id", pa.string()),
        ("account", pa.int64()),
        ("branch", pa.string()),
        ("event_time", pa.int64()),
        ("amount", pa.int64()),
        ("price", pa.float64()),
        ("place", pa.string()),
        ("flag", pa.bool_()),
    ]
)
LAST_DAY = date(2023, 11, 14)
BOUNDARY_MS = int(datetime(2023, 11, 15, tzinfo=UTC).timestamp()) * 1000
#: The last moment of which everything is known.
AS_OF_MS = BOUNDARY_MS - 1
SAME = ("amount", "price", "place", "flag")
OURS, PLAIN = ([f"{view}:{name}_last" for name in SAME] for view in ("lately", "mirror"))
KNOWN = (7, -(2**63), 0, 1)
NOBODY = 99
HEADRACE = str(Path(sys.executable).with_name("headrace"))
Statuses = Mapping[str, tuple[int, ...]]


def movement(number: int, account: int, branch: str, values: Any) -> dict[str, Any]:
    named = dict(zip(SAME, values, strict=True))
    time_ms = BOUNDARY_MS - 3_600_000 + number
    return {
        "movement_id": f"m{number}",
        "account": account,
        "branch": branch,
        "event_time": time_ms,
        **named,
    }


MOVEMENTS = (
    movement(0, KNOWN[0], "north", (2**63 - 1, -0.0, "", False)),
    movement(1, KNOWN[1], "", (-(2**63), 1e308, "ß", True)),
    movement(2, KNOWN[2], "5", (None, 5e-324, None, None)),
    movement(3, KNOWN[3], "True", (0, None, "x", None)),
)


@dataclass(frozen=True)
class Shop:
    """A store with our views and plain ones."""

    settings: Settings
    store: feast.FeatureStore
    views: Mapping[str, FeatureView]

    def ask(self, features: Any, rows: Any, **how: Any) -> OnlineResponse:
        """As of the last known moment, unless the rows say otherwise."""
        if isinstance(rows, list):
            given: Any = [{"as_of": AS_OF_MS, **row} for row in rows]
        else:
            (length,) = {len(getattr(values, "val", values)) for values in rows.values()}
            given = {"as_of": [AS_OF_MS] * length, **rows}
        return self.store.get_online_features(features=features, entity_rows=given, **how)

    def values(self, features: Any, rows: Any, **how: Any) -> dict[str, list[Any]]:
        return self.ask(features, rows, **how).to_dict()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    home = tmp_path_factory.mktemp("home")
    (home / "movement_views.py").write_text(DEFINITIONS, encoding="utf-8")
    (home / "headrace.toml").write_text(
        'home = "data"\n[project]\nname = "bank"\ndefinitions = ["movement_views"]\n',
        encoding="utf-8",
    )
    settings = load(home, {})
    project = load_project(settings)
    write_events(settings, "bronze.movements", pa.Table.from_pylist(list(MOVEMENTS), AMOUNTS))
    repository.apply(settings, project)
    for name in ("lately", "offices"):
        materialize_view(settings, project.view(name), LAST_DAY, unwatched)
    store = repository.feature_store(settings)
    with_plain_views(store, home)
    return Shop(settings, store, project.views)


def with_plain_views(store: feast.FeatureStore, home: Path) -> None:
    """Add views of Feast's with the values of ours, services of both, and a transformation."""
    # One by one: of integers beside nulls pandas makes doubles.
    frames = [pd.DataFrame([row]) for row in MOVEMENTS]
    for frame in frames:
        frame.columns = [f"{n}_last" if n in SAME else n for n in frame.columns]
        frame["event_timestamp"] = pd.to_datetime(frame["event_time"], unit="ms", utc=True)
    frames[0].to_parquet(home / "movements.parquet")
    kinds = (feast.types.Int64, feast.types.Float64, feast.types.String, feast.types.Bool)
    fields = [feast.Field(name=f"{n}_last", dtype=k) for n, k in zip(SAME, kinds, strict=True)]
    table = feast.FileSource(
        path=str(home / "movements.parquet"), timestamp_field="event_timestamp"
    )

    def plain(name: str, entity: str, key: str, kind: Any, count: int) -> feast.FeatureView:
        return feast.FeatureView(
            name=name,
            entities=[store.get_entity(entity)],
            schema=[feast.Field(name=key, dtype=kind), *fields[:count]],
            source=table,
            ttl=timedelta(days=1),
        )

    mirror = plain("mirror", "owner", "account", feast.types.Int64, 4)
    offices = plain("plain_offices", "office", "branch", feast.types.String, 1)
    lately = store.get_feature_view("lately")

    def spent(given: pd.DataFrame) -> pd.DataFrame:
        prices = given["price_last"].astype("float64").fillna(0.5)
        return pd.DataFrame({"spent": given["count_1d"].astype("int64") + prices})

    transformed = on_demand_feature_view(
        sources=[lately[["count_1d"]], mirror[["price_last"]]],
        schema=[feast.Field(name="spent", dtype=feast.types.Float64)],
        mode="pandas",
    )(spent)
    amount = ["amount_last"]
    services = [
        feast.FeatureService(
            name="renamed",
            features=[lately[amount].with_name("ours"), mirror[["place_last"]].with_name("plain")],
        ),
        feast.FeatureService(
            name="transfer",
            features=[
                lately[amount].with_name("payer").with_join_key_map({"account": "payer_account"}),
                lately[amount].with_name("payee").with_join_key_map({"account": "payee_account"}),
            ],
        ),
        feast.FeatureService(
            name="received",
            features=[
                mirror[amount],
                lately[amount].with_name("payee").with_join_key_map({"account": "payee_account"}),
            ],
        ),
    ]
    with pytest.warns(RuntimeWarning, match="On demand feature view"):
        store.apply([mirror, offices, transformed, *services])
    for frame in frames:
        store.write_to_online_store("mirror", frame)
        if frame["amount_last"].notna().all():
            store.write_to_online_store("plain_offices", frame)


def by_name(response: OnlineResponse) -> dict[str, Any]:
    names = response.proto.metadata.feature_names.val
    return dict(zip(names, response.proto.results, strict=True))


def statuses(response: OnlineResponse) -> dict[str, tuple[int, ...]]:
    return {name: tuple(vector.statuses) for name, vector in by_name(response).items()}


def in_json(response: OnlineResponse) -> list[dict[str, Any]]:
    """The columns behind the key, as a feature server writes them."""
    as_served: Any = feature_server
    return list(as_served.convert_response_to_dict(response.proto)["results"][1:])


def in_bits(columns: Mapping[str, list[Any]]) -> dict[str, list[object]]:
    return {name: [bits(value) for value in values] for name, values in columns.items()}


def test_each_type_of_value_is_the_message_that_feast_has_for_it(shop: Shop) -> None:
    rows = [{"account": account} for account in KNOWN]
    response = shop.ask([*OURS, *PLAIN], rows, full_feature_names=True)
    found, values = by_name(response), in_bits(response.to_dict())
    for name in SAME:
        ours, plain = f"lately__{name}_last", f"mirror__{name}_last"
        assert [one.SerializeToString() for one in found[ours].values] == [
            one.SerializeToString() for one in found[plain].values
        ], name
        wanted = [bits(row[name]) for row in MOVEMENTS]
        assert (values[ours], values[plain]) == (wanted, wanted)
        nulls = [row[name] is None for row in MOVEMENTS]
        # Feast calls a null that it has found present; its protocol has a word for it.
        assert tuple(found[ours].statuses) == tuple(
            FieldStatus.NULL_VALUE if null else FieldStatus.PRESENT for null in nulls
        )
    for names in (OURS, PLAIN):
        told = in_json(shop.ask(names, rows))
        assert sorted(map(str, (one["values"] for one in told))) == sorted(
            map(str, ([row[name] for row in MOVEMENTS] for name in SAME))
        )


def test_an_unknown_entity_is_not_found_as_in_a_plain_view_and_has_empty_windows(
    shop: Shop,
) -> None:
    view = shop.views["lately"]
    asked = [f"lately:{name}" for name in view.feature_names]
    response = shop.ask([*asked, *PLAIN], [{"account": NOBODY}] * 2, full_feature_names=True)
    found = response.to_dict()
    (empty,) = oracle.values(view, [], [SpineRow(NOBODY, AS_OF_MS)])
    assert {bits(value) for value in empty.values()} > {bits(0), bits(-1.5), bits("none")}
    for name, value in empty.items():
        assert [bits(one) for one in found[f"lately__{name}"]] == [bits(value)] * 2
    assert {name: values for name, values in found.items() if name.startswith("mirror")} == {
        f"mirror__{name}_last": [None, None] for name in SAME
    }
    told = statuses(response)
    assert told.pop("account") == (FieldStatus.PRESENT,) * 2
    assert set(told.values()) == {(FieldStatus.NOT_FOUND,) * 2}
    assert {tuple(one["statuses"]) for one in in_json(response)} == {("NOT_FOUND",) * 2}


def test_what_was_never_materialized_is_null_and_not_found_as_in_a_plain_view(shop: Shop) -> None:
    response = shop.ask(["never:count_9d", "mirror:price_last"], [{"account": NOBODY}])
    assert response.to_dict() == {"account": [NOBODY], "count_9d": [None], "price_last": [None]}
    assert statuses(response)["count_9d"] == statuses(response)["price_last"]


def test_a_reserved_key_that_is_misspelt_is_no_question_about_now(shop: Shop) -> None:
    with pytest.raises(BadRecordError, match=r"have asof, .*did you mean as_of\?"):
        shop.ask(["lately:count_1d"], [{"account": 7, "asof": AS_OF_MS}])
    # Whatever else a client sends along is passed over.
    assert shop.values(["lately:count_1d"], [{"account": 7, "as_of": AS_OF_MS, "note": "x"}])


def test_windows_pass_where_a_plain_view_keeps_its_row_beyond_its_ttl(shop: Shop) -> None:
    week_ms = 7 * 86_400_000
    rows = [{"account": 7, "as_of": time_ms} for time_ms in (AS_OF_MS, AS_OF_MS + week_ms)]
    names = ["lately:count_1d", "lately:amount_last", "mirror:place_last"]
    assert shop.values(names, rows) == {
        "account": [7, 7],
        "count_1d": [1, 0],
        "amount_last": [2**63 - 1] * 2,
        "place_last": ["", ""],
    }
    told = statuses(shop.ask(names, rows))
    assert told["count_1d"] == (FieldStatus.PRESENT, FieldStatus.OUTSIDE_MAX_AGE)


def test_the_reader_without_feast_gives_each_value_the_same_status(
    shop: Shop,
) -> None:
    after = {"as_of": BOUNDARY_MS, "factor": 2}
    then = {"as_of": AS_OF_MS, "factor": 2}
    rows = [
        {"account": account, **moment}
        for account, moment in (
            (KNOWN[2], then),
            (KNOWN[0], after),
            (NOBODY, then),
            (NOBODY, after),
        )
    ]
    names = ["lately:count_1d", "lately:amount_last", "never:count_9d", "asking:counted"]
    told = statuses(shop.ask(names, rows, full_feature_names=True))
    assert told["lately__amount_last"] == (
        FieldStatus.NULL_VALUE,
        FieldStatus.OUTSIDE_MAX_AGE,
        FieldStatus.NOT_FOUND,
        FieldStatus.OUTSIDE_MAX_AGE,
    )
    project = load_project(shop.settings)
    read = FeatureReader.of(shop.settings, project, *names).read(rows)
    assert read
    for name in read[0]:
        assert tuple(FieldStatus.Value(row.statuses[name]) for row in read) == told[name]
    # The command reads by it, on the terms of the service.
    command = [HEADRACE, "features", "get", "--service", "strict", "--entity", "account=7"]
    home = shop.settings.home.parent
    refused = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    assert (refused.returncode, "lately is incomplete" in refused.stderr) == (75, True)
    known = subprocess.run([*command, "--as-of", f"{AS_OF_MS}"], cwd=home, check=False)
    assert known.returncode == 0


def test_a_service_is_answered_on_its_terms(shop: Shop) -> None:
    strict = shop.store.get_feature_service("strict")
    known = shop.values(strict, [{"account": 7}])
    with pytest.raises(RetryableError, match="lately is incomplete: the window of "):
        shop.ask(strict, [{"account": 7, "as_of": BOUNDARY_MS}])
    # Nobody listens there.
    away = {"HEADRACE_ONLINE_TYPE": "redis", "HEADRACE_ONLINE_REDIS_URL": "redis://127.0.0.1:9"}
    store = repository.feature_store(load(shop.settings.home.parent, away))
    asked: Any = [{"account": 7, "as_of": AS_OF_MS}]
    with pytest.raises(RetryableError, match="does not answer"):
        store.get_online_features(store.get_feature_service("strict"), asked)
    empty = store.get_online_features(store.get_feature_service("lenient"), asked)
    assert empty.to_dict() == shop.values(strict, [{"account": NOBODY}]) | {"account": [7]}
    assert empty.to_dict() != known
    told = statuses(empty)
    assert told.pop("account") == (FieldStatus.PRESENT,)
    assert set(told.values()) == {(FieldStatus.OUTSIDE_MAX_AGE,)}


def test_an_answer_is_the_same_as_values_message_frame_and_table(shop: Shop) -> None:
    rows = [{"account": account} for account in (*KNOWN, NOBODY)]
    response, plain = shop.ask(OURS, rows), shop.ask(PLAIN, rows)
    before = response.to_dict(include_event_timestamps=True)
    message = OnlineResponse(response.proto, response._feature_types)
    assert in_bits(message.to_dict(include_event_timestamps=True)) == in_bits(before)
    assert before["amount_last__ts"] == [BOUNDARY_MS // 1000] * 5
    assert before["account__ts"] == [0] * 5
    # Feast's own frame makes doubles of integers beside a null.
    ours, theirs = (one.drop(columns="amount_last") for one in (response.to_df(), message.to_df()))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    amounts = response.to_df()["amount_last"].astype(object)
    assert [None if pd.isna(one) else one for one in amounts] == before["amount_last"]
    assert list(response.to_df().columns) == ["account", *(f"{name}_last" for name in SAME)]
    table, plain_table = response.to_arrow(), plain.to_arrow()
    types = {field.name: field.type for field in plain_table.schema}
    assert {field.name: field.type for field in table.schema} == types
    assert table.equals(message.to_arrow())


@pytest.mark.parametrize(
    "rows",
    [
        [{"account": 7}, {"account": "0"}, {"account": np.int32(1)}],
        [{"account": "7"}],
        [{"account": np.int64(7)}],
        [{"account": 7.0}],
        {"account": (7, 0)},
        {"account": [Message(int64_val=7), Message(int64_val=-(2**63))]},
        {"account": RepeatedValue(val=[Message(int64_val=7)])},
    ],
)
def test_a_number_as_key_is_taken_in_every_way_that_feast_takes_it(shop: Shop, rows: Any) -> None:
    plain = shop.values(PLAIN, rows)
    assert in_bits(shop.values(OURS, rows)) == in_bits(plain)
    assert all(type(key) is int for key in plain["account"])
    assert plain["place_last"] != [None] * len(plain["place_last"])
    mixed = shop.values([*OURS[:2], *PLAIN[2:]], rows)
    assert in_bits(mixed) == in_bits(plain)


@pytest.mark.parametrize(
    ("key", "amount"),
    [
        ("north", 2**63 - 1),
        ("", -(2**63)),
        (np.str_("north"), 2**63 - 1),
        (True, 0),
        (Message(string_val="north"), 2**63 - 1),
        (5, None),
        ("Ünknown", None),
    ],
)
def test_a_text_as_key_is_taken_in_every_way_that_feast_takes_it(
    shop: Shop, key: Any, amount: int | None
) -> None:
    found = shop.ask(["offices:amount_last"], {"branch": [key]})
    plain = shop.ask(["plain_offices:amount_last"], {"branch": [key]})
    assert found.to_dict() == plain.to_dict()
    assert found.to_dict()["amount_last"] == [amount]
    assert found.proto.results[0] == plain.proto.results[0]
    assert type(found.to_dict()["branch"][0]) is str


def test_repeated_rows_are_answered_each_at_its_place(shop: Shop) -> None:
    accounts = [7, 0, 7, NOBODY, 7, 0]
    rows = [{"account": account} for account in accounts]
    found = shop.values([*OURS, *PLAIN], rows, full_feature_names=True)
    assert found["account"] == accounts
    for name in SAME:
        assert in_bits(found)[f"lately__{name}_last"] == in_bits(found)[f"mirror__{name}_last"]
    assert found["lately__place_last"] == ["", None, "", None, "", None]
    alone = shop.values(OURS, rows)
    assert in_bits(alone) == in_bits(shop.values(PLAIN, rows))


def test_keys_of_other_entities_are_in_the_answer_and_other_columns_are_not(shop: Shop) -> None:
    for branch in ("north", None):
        rows = [{"anything": [1], "branch": branch, "account": 7}]
        found, plain = shop.ask(OURS, rows), shop.ask(PLAIN, rows)
        assert found.to_dict() == plain.to_dict()
        assert list(found.to_dict())[:2] == ["branch", "account"]
        assert by_name(found)["branch"] == by_name(plain)["branch"]
    # Their type isn't known from what is asked for: Feast goes by the first that isn't null.
    columns = {"account": [7, 7], "branch": [None, np.int64(5)]}
    assert shop.values(OURS, columns) == shop.values(PLAIN, columns)


def test_a_column_may_have_the_name_of_the_entity_with_feasts_warning(shop: Shop) -> None:
    answers = []
    for names in (OURS, PLAIN, [*OURS[:2], *PLAIN[2:]]):
        with pytest.warns(UserWarning, match="Use join_key instead"):
            answers.append(shop.values(names, [{"owner": 7}]))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["account"] == [7]


@pytest.mark.parametrize(
    ("error", "told", "wrong"),
    [
        (FeatureViewNotFoundException, "nothing", ["nothing:amount_last"]),
        (KeyError, "Feature nothing not found", ["{view}:nothing"]),
        (FeatureNameCollisionError, "amount_last", ["{view}:amount_last"] * 2),
        (FeatureNameCollisionError, "amount_last", ["lately:amount_last", "mirror:amount_last"]),
        (ValueError, "Invalid feature reference", ["{view}"]),
        (ValueError, "No features specified", []),
        (ValueError, "versioning is disabled", ["{view}@v1:amount_last"]),
    ],
)
def test_asking_for_what_is_not_there_is_feasts_own_error(
    shop: Shop, error: type[Exception], told: str, wrong: list[str]
) -> None:
    for view in ("lately", "mirror"):
        asked = [name.format(view=view) for name in wrong]
        with pytest.raises(error, match=told):
            shop.ask(asked, [{"account": 7}])
    with pytest.raises(error):
        asyncio.run(
            shop.store.get_online_features_async(
                features=[name.format(view="lately") for name in wrong],
                entity_rows=[{"account": 7}],
            )
        )


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"other": [1]}, "no account, the join key of lately"),
        ({"account": [None]}, "a row has no account"),
        ({"account": [7, None]}, "a row has no account"),
        ({"account": [float("nan")]}, "a row has no account"),
        ({"account": [Message()]}, "a row has no account"),
        ({"account": ["seven"]}, "invalid literal.*'seven'"),
        ({"account": [2**63]}, "out of range"),
        ({"account": [[7]]}, "a row has no account"),
        ({"account": []}, "at least one row"),
        ({"account": [7], "other": [1, 2]}, "every key a value in each"),
        ({}, "at least one row"),
        ([], "at least one row"),
        ([{"account": 7}, {"account": 7, "other": 1}], "the same keys"),
    ],
)
def test_rows_that_feast_can_not_use_are_an_error_that_says_what_is_wrong(
    shop: Shop, rows: Any, told: str
) -> None:
    for names in (OURS, [OURS[0], PLAIN[1]]):
        with pytest.raises(BadRecordError, match=told):
            shop.store.get_online_features(features=names, entity_rows=rows)
    # Feast fails too, by whatever it happens upon.
    with pytest.raises((TypeError, ValueError, KeyError, BadRecordError)):
        shop.store.get_online_features(features=PLAIN, entity_rows=rows)


def test_what_pandas_has_for_nothing_is_no_key_of_text_either(shop: Shop) -> None:
    for missing in (float("nan"), pd.NA, pd.NaT):
        with pytest.raises(BadRecordError, match="a row has no branch"):
            shop.ask(["offices:amount_last"], {"branch": ["north", missing]})


def test_a_service_and_its_list_of_features_have_the_same_values_under_both_kinds_of_names(
    shop: Shop,
) -> None:
    service = shop.store.get_feature_service("both")
    names = [f"lately:{name}" for name in shop.views["lately"].feature_names]
    names.append("offices:amount_last")
    rows = [{"account": 7, "branch": ""}, {"account": 0, "branch": "5"}]
    found = shop.values(service, rows, full_feature_names=True)
    assert in_bits(found) == in_bits(shop.values(names, rows, full_feature_names=True))
    assert found["offices__amount_last"] == [-(2**63), None]
    assert set(found) == {"account", "branch", *(name.replace(":", "__") for name in names)}
    with pytest.raises(FeatureNameCollisionError, match="amount_last"):
        shop.ask(service, rows)
    short = shop.values(names[:4], rows[:1])
    assert set(short) == {"account", "branch", *(name.split(":")[1] for name in names[:4])}


def test_a_view_may_go_by_another_name_and_key(shop: Shop) -> None:
    renamed = shop.store.get_feature_service("renamed")
    assert shop.values(renamed, [{"account": 7}], full_feature_names=True) == {
        "account": [7],
        "ours__amount_last": [2**63 - 1],
        "plain__place_last": [""],
    }
    transfer = shop.store.get_feature_service("transfer")
    rows = [
        {"payer_account": 7, "payee_account": KNOWN[1]},
        {"payer_account": NOBODY, "payee_account": "7"},
    ]
    assert shop.values(transfer, rows, full_feature_names=True) == {
        "payer_account": [7, NOBODY],
        "payee_account": [KNOWN[1], 7],
        "payer__amount_last": [2**63 - 1, None],
        "payee__amount_last": [KNOWN[1], 2**63 - 1],
    }
    with pytest.raises(BadRecordError, match="no payee_account, the join key of payee"):
        shop.ask(transfer, [{"payer_account": 7}], full_feature_names=True)


def test_a_key_of_another_name_is_not_taken_for_the_views_own(shop: Shop) -> None:
    received = shop.store.get_feature_service("received")
    row = {"account": 7, "payee_account": KNOWN[1]}
    for given in (row, dict(reversed(row.items()))):
        found = shop.values(received, [given], full_feature_names=True)
        assert found["payee__amount_last"] == [KNOWN[1]]
        assert found["mirror__amount_last"] == [2**63 - 1]
    with pytest.raises(BadRecordError, match="no payee_account"):
        shop.ask(received, [{"account": 7}], full_feature_names=True)


def test_one_request_may_have_views_and_on_demand_views_of_both_kinds(shop: Shop) -> None:
    names = ["lately:amount_last", "mirror:price_last", "spent:spent", "asking:counted"]
    rows = [{"account": account, "factor": 3} for account in (7, 1, NOBODY)]
    wanted: dict[str, list[Any]] = {
        "account": [7, 1, NOBODY],
        "amount_last": [2**63 - 1, 0, None],
        "price_last": [-0.0, None, None],
        "spent": [1.0, 1.5, 0.5],
        "counted": [3, 3, 0],
    }
    assert in_bits(shop.values(names, rows)) == in_bits(wanted)

    async def asynchronously() -> dict[str, Any]:
        entities = [{"as_of": AS_OF_MS, **row} for row in rows]
        answer = await shop.store.get_online_features_async(names, entities)
        return answer.to_dict()

    assert in_bits(asyncio.run(asynchronously())) == in_bits(wanted)


def test_the_registrys_number_of_a_view_is_told_if_asked_for(shop: Shop) -> None:
    told = [
        {one.name: one.version for one in answer.proto.metadata.feature_view_metadata}
        for names in (OURS, PLAIN, ["lately:amount_last", "mirror:place_last"])
        for answer in [
            shop.ask(names, [{"account": 7}], include_feature_view_version_metadata=True)
        ]
    ]
    numbers = [shop.store.get_feature_view(name) for name in ("lately", "mirror")]
    lately, mirror = ({one.name: one.current_version_number or 0} for one in numbers)
    assert told == [lately, mirror, {**lately, **mirror}]
    renamed = shop.store.get_feature_service("renamed")
    answer = shop.ask(renamed, [{"account": 7}], include_feature_view_version_metadata=True)
    names = {one.name for one in answer.proto.metadata.feature_view_metadata}
    assert names == {"ours", "plain"}
    assert not shop.ask(OURS, [{"account": 7}]).proto.metadata.feature_view_metadata


def test_the_registry_tells_of_our_views_what_it_tells_of_plain_ones(shop: Shop) -> None:
    store = shop.store
    lately, mirror = (store.get_feature_view(name) for name in ("lately", "mirror"))
    kinds = {field.name: field.dtype for field in lately.features}
    assert {f.name: f.dtype for f in mirror.features}.items() <= kinds.items()
    assert lately.entity_columns == mirror.entity_columns
    assert lately.entities == mirror.entities
    owner, office = store.get_entity("owner"), store.get_entity("office")
    assert (owner.join_key, owner.value_type) == ("account", feast.ValueType.INT64)
    assert (office.join_key, office.value_type) == ("branch", feast.ValueType.STRING)
    listed = {view.name for view in store.list_feature_views()}
    assert listed == {*shop.views, "mirror", "plain_offices"}
    assert shop.values(OURS, [{"account": 7}]) == shop.values(PLAIN, [{"account": 7}])


def test_a_disabled_view_is_not_served_until_it_is_enabled(shop: Shop) -> None:
    for view, names in (("lately", OURS), ("mirror", PLAIN)):
        shop.store.disable_feature_view(view)
        try:
            with pytest.raises(ValueError, match=f"{view}' is disabled"):
                shop.ask(names, [{"account": 7}])
        finally:
            shop.store.enable_feature_view(view)
        assert shop.values(names, [{"account": 7}])["place_last"] == [""]


def test_the_stores_own_read_gives_rows_of_messages_in_the_order_of_the_keys(shop: Shop) -> None:
    def read(view: str, accounts: list[int]) -> list[tuple[datetime | None, Any]]:
        keys = [
            EntityKey(join_keys=["account"], entity_values=[Message(int64_val=account)])
            for account in accounts
        ]
        table, names = shop.store.get_feature_view(view), ["place_last"]
        provider, config = shop.store.provider, shop.store.config
        found = provider.online_read(config, table, keys, names)
        assert asyncio.run(provider.online_read_async(config, table, keys, names)) == found
        return list(found)

    for view in ("lately", "mirror"):
        assert [values["place_last"].string_val for _, values in read(view, [7, 1, 7])] == [
            "",
            "x",
            "",
        ]
        assert read(view, []) == []
    ((_, values),) = read("lately", [NOBODY])
    assert values == {"place_last": Message()}
    assert read("mirror", [NOBODY]) == [(None, None)]


def test_a_refused_materialization_leaves_views_served_and_the_registry_as_it_was(
    shop: Shop,
) -> None:
    before = {view.name: (view.state, view.materialization_intervals) for view in views_of(shop)}
    start, end = datetime(2023, 11, 1, tzinfo=UTC), datetime(2023, 11, 20, tzinfo=UTC)
    attempts: list[Callable[[], object]] = [
        lambda: shop.store.materialize(start, end),
        lambda: shop.store.materialize(start, end, ["lately"]),
        lambda: shop.store.materialize_incremental(end, ["mirror", "lately"]),
    ]
    for attempt in attempts:
        with pytest.raises(UnsupportedError, match=r"headrace materialize; .* --views NAME"):
            attempt()
    after = {view.name: (view.state, view.materialization_intervals) for view in views_of(shop)}
    assert {name: after[name] for name in shop.views} == {n: before[n] for n in shop.views}
    assert shop.values(OURS, [{"account": 7}]) == shop.values(PLAIN, [{"account": 7}])


def views_of(shop: Shop) -> list[feast.FeatureView]:
    return list(shop.store.list_feature_views(allow_cache=False))
