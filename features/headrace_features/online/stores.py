"""The online store that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_features.online.sqlite_store import SqliteStateStore

if TYPE_CHECKING:
    from headrace_features.online.store import StateStore
    from headrace_schemas.settings import Settings


def open_store(settings: Settings, namespace: str = "") -> StateStore:
    """The store of a project; nothing is connected or made before it is used.

    Args:
        settings: of the project.
        namespace: whose progress it keeps.
    """
    if settings.online.type == "sqlite":
        return SqliteStateStore(
            settings.online.path, settings.online.timeout.total_seconds(), namespace=namespace
        )
    # A client that only those with Redis need.
    from headrace_features.online.redis_access import redis_access
    from headrace_features.online.redis_connection import RedisConnection
    from headrace_features.online.redis_store import RedisStateStore

    return RedisStateStore(
        RedisConnection(redis_access(settings.online, settings.home)),
        settings.project.name,
        namespace=namespace,
    )


def store_place(settings: Settings) -> str:
    """What tells the store of a project from another one; it holds no secret."""
    online = settings.online
    return str(online.path) if online.type == "sqlite" else online.redis_url
