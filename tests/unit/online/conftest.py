"""What tests of online stores run on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from redis_servers import RedisCluster, RedisServer, redis_cluster, redis_server


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """One Redis for all tests of the file."""
    with redis_server() as found:
        yield found


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """One cluster of Redis for all tests of the file."""
    with redis_cluster() as found:
        yield found
