"""What data is called in events, by OpenLineage's naming: equal names join what runs tell.

The scheme is that of https://openlineage.io/docs/spec/naming. It has none for SQLite, whose tables
are named here as those of other databases are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from headrace_features.embedded import Service, noted_address
from headrace_schemas.errors import HeadraceError
from headrace_schemas.redis_address import node_name, parse_redis_url
from headrace_schemas.setting_table import EMBEDDED

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings


class Place(NamedTuple):
    """A set of data: where it is, and what it is called there."""

    namespace: str
    name: str


def file_place(path: str) -> Place:
    """A file or the folder of a table, by its path or URL.

    >>> file_place("s3://lake/bronze/visits")
    Place(namespace='s3://lake', name='bronze/visits')
    """
    location = urlsplit(path)
    if not location.scheme:
        return Place("file", str(Path(path).absolute()))
    if location.scheme == "file":
        return Place("file", unquote(location.path))
    # A user and a password are nobody's business.
    where = location.netloc.rpartition("@")[2]
    return Place(f"{location.scheme}://{where}", location.path.strip("/"))


def topic_place(settings: Settings, topic: str) -> Place:
    """A topic, by the first of the brokers."""
    servers = settings.kafka.bootstrap_servers
    first = _noted(settings, Service.KAFKA) if servers == EMBEDDED else servers.split(",")[0]
    return Place(f"kafka://{first.strip()}", topic)


def store_place(settings: Settings, view: str) -> Place:
    """What the online store has of a view, by its key."""
    online = settings.online
    if online.type != "redis":
        return Place(f"sqlite://{online.path}", view)
    if online.redis_url == EMBEDDED:
        return Place(f"redis://{_noted(settings, Service.REDIS)}", f"0.{view}")
    address = parse_redis_url(online.redis_url)
    return Place(f"redis://{node_name(*address.nodes[0])}", f"{address.database}.{view}")


def registry_place(settings: Settings, kind: str, name: str) -> Place:
    """What Feast's registry has: a `view` or a `service`, by its name."""
    return Place(f"feast://{settings.feast.registry}", f"{kind}.{name}")


def _noted(settings: Settings, service: Service) -> str:
    """Where an embedded service is, whether or not it runs: it keeps its ports."""
    try:
        return noted_address(settings.home, service)
    except HeadraceError:
        return EMBEDDED
