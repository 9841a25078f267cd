"""Where plain Feast views of a project are kept: as Feast keeps them, beside our state."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.repo_config import RepoConfig

if TYPE_CHECKING:
    from feast.infra.online_stores.online_store import OnlineStore

    from headrace_schemas.settings import Settings


class PlainStore:
    """Feast's own store of the kind that the settings name, and its configuration."""

    def __init__(self, config: RepoConfig, settings: Settings) -> None:
        """Choose the store; nothing is connected yet."""
        online: dict[str, Any]
        if settings.online.type == "redis":
            online = _redis(settings)
        else:
            path = settings.online.path.with_suffix(".feast.db")
            path.parent.mkdir(parents=True, exist_ok=True)
            online = {"type": "sqlite", "path": str(path)}
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
