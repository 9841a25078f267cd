"""Backfills write whole days, as often as one likes, and refuse what would spoil them."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from headrace_batch import local_spill
from headrace_batch.local_engine import LocalEngine
from headrace_batch.meaning import FINGERPRINT
from headrace_batch.spark_engine import SparkEngine
from headrace_batch.warehouse import Warehouse
from headrace_features import Count, Entity, EventSource, FeatureView, Sliding, Sum
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.engines import Engine
from headrace_features.fraud.definitions import card_activity
from headrace_schemas.errors import BadRecordError, ConfigurationError
from headrace_schemas.events import Event
from headrace_schemas.reasons import Reason
from headrace_schemas.settings import Settings
from lakes import settings_in, write_events, write_simulated

DAY = timedelta(days=1)
FIRST, LAST = date(2018, 4, 12), date(2018, 4, 16)
TABLE = "features.card_activity_v1"
MIDNIGHT_MS = 1_600_041_600_000


class Payment(Event, frozen=True, kw_only=True):
    """An event with a number that is summed."""

    event_id: str
    payer: str
    event_time: int
    amount: int


PAYMENTS = EventSource("payments", Payment)


def paid(version: int = 1, **options: str) -> FeatureView:
    return FeatureView(
        "paid",
        version,
        Entity("payer", "payer"),
        PAYMENTS,
        [Count(windows=[Sliding("1d")]), Sum("amount", windows=[Sliding("1d")])],
        **options,  # type: ignore[arg-type]
    )


def payments(amounts: list[int], first_id: int = 0, start_ms: int = MIDNIGHT_MS) -> pa.Table:
    count = len(amounts)
    return pa.table(
        {
            "event_id": [str(first_id + number) for number in range(count)],
            "payer": ["p"] * count,
            "event_time": [start_ms + number for number in range(count)],
            "amount": amounts,
        }
    )


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("simulated")
    write_simulated(settings_in(home))
    return home


@pytest.fixture
def lake(simulated: Path, tmp_path: Path) -> Settings:
    """A warehouse of its own with simulated transactions."""
    home = tmp_path / "lake"
    shutil.copytree(simulated, home)
    return settings_in(home)


@pytest.fixture(params=["local", "spark"])
def kind(request: pytest.FixtureRequest) -> type[LocalEngine | SparkEngine]:
    if request.param == "local":
        return LocalEngine
    request.getfixturevalue("spark")
    return SparkEngine


@pytest.fixture
def engine(kind: type[LocalEngine | SparkEngine], lake: Settings) -> Engine:
    return kind(lake)


def rows_of(settings: Settings, table: str = TABLE) -> pa.Table:
    found = Warehouse.of(settings).read(table)
    return found.sort_by([(found.column_names[2], "ascending")])


def days_of(table: pa.Table) -> list[date]:
    return sorted(set(table["event_date"].to_pylist()))


def test_a_second_run_and_an_overlapping_one_change_nothing(engine: Engine, lake: Settings) -> None:
    engine.backfill(card_activity, FIRST, LAST)
    once = rows_of(lake)
    engine.backfill(card_activity, FIRST, LAST)
    assert rows_of(lake).equals(once)
    engine.backfill(card_activity, FIRST + 3 * DAY, LAST)
    assert rows_of(lake).equals(once)
    assert days_of(once) == [FIRST + number * DAY for number in range(5)]


def test_a_day_has_the_same_values_alone_and_in_a_longer_range(
    engine: Engine, lake: Settings
) -> None:
    for day in (FIRST + DAY, FIRST):
        engine.backfill(card_activity, day, day)
    alone = rows_of(lake)
    LocalEngine(lake).backfill(card_activity, FIRST, FIRST + DAY)
    assert rows_of(lake).equals(alone)


def test_days_of_many_events_take_several_commits_and_give_the_same(
    lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    LocalEngine(lake).backfill(card_activity, FIRST, LAST)
    at_once = rows_of(lake)
    version = DeltaTable(Warehouse.of(lake).uri(TABLE)).version()
    monkeypatch.setattr(local_spill, "PART_ROWS", 150)
    LocalEngine(lake).backfill(card_activity, FIRST, LAST)
    assert rows_of(lake).equals(at_once)
    assert DeltaTable(Warehouse.of(lake).uri(TABLE)).version() > version + 1


def test_a_day_is_one_file(engine: Engine, lake: Settings) -> None:
    engine.backfill(card_activity, FIRST, LAST)
    assert len(DeltaTable(Warehouse.of(lake).uri(TABLE)).file_uris()) == 5


def test_days_whose_events_are_gone_become_empty(
    kind: type[LocalEngine | SparkEngine], settings: Settings
) -> None:
    write_events(settings, "bronze.payments", payments([1, 2]))
    write_events(settings, "bronze.payments", payments([3], 2, MIDNIGHT_MS + 86_400_000))
    engine = kind(settings)
    first, second = date(2020, 9, 14), date(2020, 9, 15)
    assert engine.backfill(paid(), first, second).rows == 3

    DeltaTable(Warehouse.of(settings).uri("bronze.payments")).delete(f"event_date = '{second}'")
    assert engine.backfill(paid(), second, second).rows == 0
    assert days_of(rows_of(settings, "features.paid_v1")) == [first]

    DeltaTable(Warehouse.of(settings).uri("bronze.payments")).delete()
    assert engine.backfill(paid(), first, second).rows == 0
    assert len(rows_of(settings, "features.paid_v1")) == 0


def test_days_without_events_are_no_error(engine: Engine, lake: Settings) -> None:
    report = engine.backfill(card_activity, date(2030, 1, 1), date(2030, 1, 31))
    assert report.rows == 0
    assert len(rows_of(lake)) == 0


def test_days_in_the_wrong_order_are_refused(engine: Engine, lake: Settings) -> None:
    with pytest.raises(ConfigurationError, match="no days from 2018-04-16 to 2018-04-12"):
        engine.backfill(card_activity, LAST, FIRST)
    assert not Warehouse.of(lake).exists(TABLE)


def test_events_that_the_filter_drops_have_no_row(
    kind: type[LocalEngine | SparkEngine], settings: Settings
) -> None:
    write_events(settings, "bronze.payments", payments([1, 20, 3, 40]))
    day = date(2020, 9, 14)
    kind(settings).backfill(paid(filter="amount > 10"), day, day)
    assert rows_of(settings, "features.paid_v1").select(
        ["event_id", "count_1d", "amount_sum_1d"]
    ).to_pylist() == [
        {"event_id": "1", "count_1d": 1, "amount_sum_1d": 20},
        {"event_id": "3", "count_1d": 2, "amount_sum_1d": 60},
    ]


def test_a_definition_that_changed_needs_a_new_version(engine: Engine, lake: Settings) -> None:
    engine.backfill(card_activity, FIRST, FIRST)
    before = rows_of(lake)
    changed = FeatureView(
        name=card_activity.name,
        version=1,
        entity=card_activity.entity,
        source=card_activity.source,
        aggregates=card_activity.aggregates,
        filter="amount_minor > 0",
    )
    with pytest.raises(ConfigurationError, match=r"changed without a new version.*version=2"):
        engine.backfill(changed, FIRST, LAST)
    assert rows_of(lake).equals(before)
    assert engine.backfill(replace_version(changed, 2), FIRST, FIRST).rows == len(before)


def test_aggregates_in_another_order_are_the_same_definition(
    engine: Engine, lake: Settings
) -> None:
    engine.backfill(card_activity, FIRST, LAST)
    before = rows_of(lake)
    turned = FeatureView(
        name=card_activity.name,
        version=1,
        entity=card_activity.entity,
        source=card_activity.source,
        aggregates=tuple(reversed(card_activity.aggregates)),
    )
    engine.backfill(turned, FIRST, LAST)
    assert rows_of(lake).equals(before)


def test_the_table_records_the_definition(lake: Settings) -> None:
    report = LocalEngine(lake).backfill(card_activity, FIRST, FIRST)
    configuration = DeltaTable(report.table).metadata().configuration
    assert configuration[FINGERPRINT] == fingerprint(card_activity)


def test_a_sum_that_leaves_int64_is_an_error_and_writes_nothing(
    kind: type[LocalEngine | SparkEngine], settings: Settings
) -> None:
    write_events(settings, "bronze.payments", payments([2**62, 2**62]))
    day = date(2020, 9, 14)
    with pytest.raises(BadRecordError, match=r"amount_sum_1d: .*outside int64") as caught:
        kind(settings).backfill(paid(), day, day)
    assert caught.value.reason is Reason.INTEGER_OVERFLOW
    assert caught.value.hint is not None
    assert len(rows_of(settings, "features.paid_v1")) == 0


def test_a_source_without_a_table_is_named_and_nothing_is_created(
    kind: type[LocalEngine | SparkEngine], settings: Settings
) -> None:
    with pytest.raises(ConfigurationError, match=r"no table bronze\.transactions"):
        kind(settings).backfill(card_activity, FIRST, LAST)
    assert not Path(settings.warehouse.path).exists()


def test_a_damaged_log_is_one_clear_line(engine: Engine, lake: Settings) -> None:
    log = Path(Warehouse.of(lake).uri("bronze.transactions")) / "_delta_log"
    (log / "00000000000000000000.json").write_text("{ no json")
    with pytest.raises(ConfigurationError, match=r"bronze\.transactions .*damaged") as caught:
        engine.backfill(card_activity, FIRST, LAST)
    assert "\n" not in str(caught.value)


def replace_version(view: FeatureView, version: int) -> FeatureView:
    return FeatureView(
        name=view.name,
        version=version,
        entity=view.entity,
        source=view.source,
        aggregates=view.aggregates,
        filter=view.filter,
    )
