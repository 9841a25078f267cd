"""The same features as plain Feast keeps them: final values, one row for each entity."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feast
from feast.types import Float64, Int64, String

from headrace_features.definitions.views import FeatureView
from headrace_features.online.redis_access import redis_access
from headrace_orchestration.benchmarks.online_state import entity
from headrace_schemas.columns import ColumnType
from headrace_schemas.redis_address import node_name
from headrace_schemas.settings import Settings

_TYPES = {ColumnType.INT64: Int64, ColumnType.FLOAT64: Float64}


def plain_feast(
    settings: Settings, folder: Path, views: Sequence[FeatureView], entities: int
) -> feast.FeatureStore:
    """Feast's own store on the backend that the settings name, filled with values.

    Args:
        settings: which backend.
        folder: for its registry, and its SQLite file.
        views: whose features are asked for.
        entities: how many rows each view has.
    """
    import pandas as pd

    folder.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = {
            "project": "plain",
            "provider": "local",
            "registry": {"path": str(folder / "registry.db")},
            "online_store": _online_store(settings, folder / "plain.db"),
            "offline_store": {"type": "dask"},
            "entity_key_serialization_version": 3,
        }
        # JSON is YAML as well: for those who serve it.
        (folder / "feature_store.yaml").write_text(json.dumps(config), encoding="utf-8")
        store = feast.FeatureStore(repo_path=str(folder))
        chance = random.Random(7)  # noqa: S311 - a benchmark's values
        for view in views:
            store.apply(_objects(view, folder))
            frame: dict[str, list[Any]] = {
                view.entity.join_key: [entity(number) for number in range(entities)],
                "event_timestamp": [datetime.now(UTC)] * entities,
            }
            for feature in view.features:
                whole = feature.type is ColumnType.INT64
                frame[feature.name] = [
                    chance.randrange(1_000) if whole else chance.random() * 50_000
                    for _ in range(entities)
                ]
            store.write_to_online_store(view.name, df=pd.DataFrame(frame))
    return store


def _online_store(settings: Settings, path: Path) -> dict[str, Any]:
    """Feast's own store of the kind that the settings name, as its users would configure it."""
    if settings.online.type == "sqlite":
        return {"type": "sqlite", "path": str(path)}
    access = redis_access(settings.online, settings.home)
    address = access.address
    parts = [node_name(host, port) for host, port in address.nodes]
    if not address.cluster:
        parts.append(f"db={address.database}")
    if address.tls:
        parts.append("ssl=true")
    # Feast reads values as JSON, but first parts the text at commas, those in quotes too.
    parts += [
        f"{name}=" + json.dumps(value).replace(",", "\\u002c")
        for name, value in access.arguments().items()
        if name in access.options or name.startswith("ssl_")
    ]
    return {
        "type": "redis",
        "redis_type": "redis_cluster" if address.cluster else "redis",
        "connection_string": ",".join(parts),
    }


def _objects(view: FeatureView, folder: Path) -> list[Any]:
    key = feast.Entity(
        name=view.entity.name,
        join_keys=[view.entity.join_key],
        value_type=feast.ValueType.STRING,
    )
    source = feast.FileSource(
        name=view.name, path=str(folder / "none.parquet"), timestamp_field="event_timestamp"
    )
    fields = [feast.Field(name=f.name, dtype=_TYPES[f.type]) for f in view.features]
    return [
        key,
        feast.FeatureView(
            name=view.name,
            entities=[key],
            ttl=timedelta(0),
            schema=[feast.Field(name=view.entity.join_key, dtype=String), *fields],
            source=source,
            online=True,
        ),
    ]
