"""Plain Feast views in Redis: Feast's keys and values, over connections of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from feast.infra.online_stores.redis import RedisOnlineStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from feast import FeatureView
    from feast.repo_config import RepoConfig

    from headrace_features.online.redis_connection import RedisConnection


class PlainRedisStore(RedisOnlineStore):
    """Feast's store of Redis, reached as the settings say; for threads alone.

    Feast makes a client of a text, in which a password can't have every sign, and without a
    timeout. Errors of Redis are told as for our views. What Feast sends may be sent twice.
    """

    def __init__(self, connection: RedisConnection) -> None:
        """Take the connections of our state: `pool` counts them together."""
        super().__init__()
        self._connection = connection

    def delete_entity_values(self, config: RepoConfig, join_keys: list[str]) -> None:
        """Delete all rows of an entity."""
        with self._connection.commands():
            super().delete_entity_values(config, join_keys)

    def delete_table(self, config: RepoConfig, table: FeatureView) -> None:
        """Delete all rows of a view."""
        with self._connection.commands():
            super().delete_table(config, table)

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Any],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows that are newer than those that are there."""
        with self._connection.commands():
            super().online_write_batch(config, table, data, progress)

    def _read_hash_fields(self, config: RepoConfig, commands: list[Any]) -> list[Any]:
        # All that Feast reads, of one view or of several.
        with self._connection.commands():
            return super()._read_hash_fields(config, commands)

    def _get_client(self, _: Any) -> Any:
        with self._connection.commands() as client:
            return client

    async def _get_client_async(self, _: Any) -> NoReturn:
        # It would reach what the configuration says, which is nothing. Our store asks in threads.
        raise NotImplementedError
