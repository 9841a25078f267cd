"""Values online are held to the lake, and every one that differs is told."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from headrace_batch.days import begins_ms
from headrace_batch.materialize import materialize_view
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_orchestration.probing import probe
from headrace_schemas.errors import ConfigurationError
from lakes import unwatched
from late_lakes import DAYS, Lake


def materialized(folder: Path, **environ: str) -> Lake:
    lake = Lake(folder, seed=6, late=0.1, **environ)
    lake.until(DAYS[1])
    for view in (card_activity, terminal_risk):
        materialize_view(lake.settings, view, DAYS[1], unwatched)
    return lake


def test_entities_of_a_day_have_the_lake_s_values_online(tmp_path: Path) -> None:
    lake = materialized(tmp_path)
    for view in (card_activity, terminal_risk):
        for day in (DAYS[0], DAYS[1]):
            found = probe(lake.settings, view, day, 1000)
            active = {
                row[view.entity.join_key]
                for row in lake.rows[view.source.name]
                if 0 <= row["event_time"] - begins_ms(day) < 86_400_000
            }
            assert (found.entities, found.unlike) == (len(active), ())
            assert found.values == len(active) * len(view.feature_names)
            assert found.as_of_ms == begins_ms(DAYS[1] + timedelta(1)) - 1


def test_what_has_come_since_the_layer_was_made_is_no_difference(tmp_path: Path) -> None:
    lake = materialized(tmp_path)
    lake.until(DAYS[-1])
    assert probe(lake.settings, card_activity, DAYS[1], 1000).unlike == ()


def test_a_value_that_the_store_has_lost_is_told_with_its_entity(tmp_path: Path) -> None:
    lake = materialized(tmp_path)
    whole = probe(lake.settings, card_activity, DAYS[1], 1000)
    with sqlite3.connect(lake.settings.online.path) as store:
        key = lake.rows["transactions"][-1]["card_id"]
        store.execute("DELETE FROM batch WHERE entity = ?", (key.encode(),))
    store.close()
    found = probe(lake.settings, card_activity, DAYS[1], 1000)
    assert found.entities == whole.entities
    assert {one.entity for one in found.unlike} == {key}
    (count,) = (one for one in found.unlike if one.feature == "count_30d")
    assert count.online == 0
    assert count.lake


def test_a_sample_is_the_same_each_time(tmp_path: Path) -> None:
    lake = materialized(tmp_path)
    assert probe(lake.settings, card_activity, DAYS[1], 5).entities == 5
    assert probe(lake.settings, card_activity, DAYS[1], 5) == probe(
        lake.settings, card_activity, DAYS[1], 5
    )


def test_a_day_that_was_not_materialized_is_an_error_that_says_how(tmp_path: Path) -> None:
    lake = materialized(tmp_path)
    with pytest.raises(ConfigurationError) as refused:
        probe(lake.settings, card_activity, DAYS[2], 10)
    assert str(refused.value) == (
        f"card_activity is not materialized up to {DAYS[2]} (run: headrace materialize --date"
        f" {DAYS[2]})"
    )
