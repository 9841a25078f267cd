"""URLs of Redis are taken apart and put together again."""

from __future__ import annotations

import pytest

from headrace_schemas.redis_address import RedisAddress, parse_redis_url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://a:1/2", RedisAddress((("a", 1),), database=2)),
        ("redis://a_b.example", RedisAddress((("a_b.example", 6379),))),
        ("redis://a:1/", RedisAddress((("a", 1),))),
        ("rediss://[::1]:7", RedisAddress((("::1", 7),), tls=True)),
        ("redis+cluster://a:1,b", RedisAddress((("a", 1), ("b", 6379)), cluster=True)),
        ("rediss+cluster://a:1", RedisAddress((("a", 1),), tls=True, cluster=True)),
    ],
)
def test_a_url_and_its_address_mean_the_same(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address
    assert parse_redis_url(str(address)) == address
