"""Where plain Feast views of a project are kept: as Feast keeps them, beside our state."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.repo_config import RepoConfig

if TYPE_CHECKING:
    from pathlib import Path

    from feast.infra.online_stores.online_store import OnlineStore

    from headrace_schemas.settings import Settings


class PlainStore:
    """Feast's own store of the kind that the settings name, and its configuration."""

    def __init__(self, config: RepoConfig, settings: Settings) -> None:
        """Choose the store; nothing is connected yet."""
        online = plain_online(settings, settings.online.path.with_suffix(".feast.db"))
        with warnings.catch_warnings():
            # Feast warns of its own defaults.
            warnings.simplefilter("ignore")
            self.config = RepoConfig(
                project=config.project,
                provider="local",
                registry=config.registry,
                online_store=online,
                entity_key_serialization_version=3,
                repo_path=config.repo_path,
            )
        self.store = _made(settings)


def plain_online(settings: Settings, path: Path) -> dict[str, Any]:
    """What Feast is told of its own store of the kind that the settings name.

    Args:
        settings: which kind.
        path: of the file, if it is SQLite.
    """
    if settings.online.type == "redis":
        return _redis(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    return {"type": "sqlite", "path": str(path)}


def _made(settings: Settings) -> OnlineStore:
    if settings.online.type == "sqlite":
        return SqliteOnlineStore()
    from feast.infra.online_stores.redis import RedisOnlineStore

    return RedisOnlineStore()


def _redis(settings: Settings) -> dict[str, Any]:
    from headrace_features.online.redis_access import redis_access
    from headrace_schemas.redis_address import node_name

    access = redis_access(settings.online, settings.home)
    address = access.address
    parts = [node_name(host, port) for host, port in address.nodes]
    if not address.cluster:
        parts.append(f"db={address.database}")
    if address.tls:
        parts.append("ssl=true")
    parts += [f"{name}={value}" for name, value in access.options.items()]
    return {
        "type": "redis",
        "redis_type": "redis_cluster" if address.cluster else "redis",
        "connection_string": ",".join(parts),
    }
