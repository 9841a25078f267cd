"""Where a Redis is: a URL without secrets, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

FORMS = (
    "redis://host:port/database, rediss:// for TLS, or redis+cluster://host:port[,host:port]"
    " and rediss+cluster:// for a cluster"
)
DEFAULT_PORT = 6379
_MAX_PORT = 65_535
_URL = re.compile(
    r"(?P<scheme>rediss?)(?P<cluster>\+cluster)?://(?P<nodes>[^/]+)(?:/(?P<database>[0-9]{0,6}))?"
)
_NODE = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One Redis, or the nodes of a cluster at which to ask for the others.

    Attributes:
        nodes: host and port of each; an IPv6 address stands without its brackets.
        database: its number; a cluster has only the first.
        tls: whether it is reached over TLS.
        cluster: whether it is a cluster.
    """

    nodes: tuple[tuple[str, int], ...]
    database: int = 0
    tls: bool = False
    cluster: bool = False

    def __str__(self) -> str:
        """The URL that means this address."""
        scheme = f"redis{'s' if self.tls else ''}{'+cluster' if self.cluster else ''}"
        database = "" if self.cluster else f"/{self.database}"
        return f"{scheme}://{','.join(node_name(*node) for node in self.nodes)}{database}"


def node_name(host: str, port: int) -> str:
    """A node as it stands in a URL.

    >>> node_name("::1", 6379)
    '[::1]:6379'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_redis_url(url: str) -> RedisAddress:
    """The address that a URL names.

    >>> parse_redis_url("redis://cache.example:6380/2")
    RedisAddress(nodes=(('cache.example', 6380),), database=2, tls=False, cluster=False)

    Raises:
        ValueError: it isn't one; the message goes on from the place where it was found, and
            doesn't show what may be a secret.
    """
    if "@" in url or "?" in url:
        raise ValueError(
            "has a user, a password or options in the URL, where they would be shown: they belong"
            " into [online.redis_options], as username and password"
        )
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError(f"is {url!r}, expected {FORMS}")
    cluster = found["cluster"] is not None
    nodes = tuple(_node(url, text) for text in found["nodes"].split(","))
    if not cluster and len(nodes) > 1:
        raise ValueError(f"is {url!r}: several nodes are a cluster, expected {FORMS}")
    if cluster and found["database"]:
        raise ValueError(f"is {url!r}: a cluster has no numbered databases")
    return RedisAddress(nodes, int(found["database"] or 0), found["scheme"] == "rediss", cluster)


def _node(url: str, text: str) -> tuple[str, int]:
    found = _NODE.fullmatch(text)
    port = int(found["port"] or DEFAULT_PORT) if found else 0
    if found is None or not 0 < port <= _MAX_PORT:
        raise ValueError(f"is {url!r}: {text!r} is no host:port, expected {FORMS}")
    return found["host"].strip("[]"), port
