"""Where plain Feast views of a project are kept: as Feast keeps them, beside our state."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.repo_config import RepoConfig

from headrace_features.online.sqlite_store import SqliteStateStore

if TYPE_CHECKING:
    from feast.infra.online_stores.online_store import OnlineStore

    from headrace_features.online.redis_store import RedisStateStore
    from headrace_features.online.store import StateStore


class PlainStore:
    """A store of Feast's of the kind that our state is in, and its configuration."""

    def __init__(self, config: RepoConfig, state: StateStore) -> None:
        """Choose the store; nothing is connected yet."""
        self.store, online = _beside(state)
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


def _beside(state: StateStore) -> tuple[OnlineStore, dict[str, Any]]:
    """A store of the same kind, and what Feast is told of it."""
    if isinstance(state, SqliteStateStore):
        path = state.path.with_suffix(".feast.db")
        path.parent.mkdir(parents=True, exist_ok=True)
        return SqliteOnlineStore(), {"type": "sqlite", "path": str(path)}
    # A client that only those with Redis need.
    from headrace_features.feast_plugin.plain_redis import PlainRedisStore

    return PlainRedisStore(cast("RedisStateStore", state).connection), {"type": "redis"}
