"""Where declared training sets are, and what any place of one is called."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

#: Schemes that name the same store.
_SAME_SCHEMES = {"s3a": "s3", "azure": "az", "abfss": "abfs"}
#: How much of a folder's name is in that of a place.
_SHOWN = 60


def place_of(settings: Settings, name: str) -> str:
    """Where the shards of a declared set are published: a path or a URL."""
    return f"{settings.training.path.rstrip('/')}/{name}"


def name_of(place: str) -> str:
    """What a place is called, however its path or URL is written: a name that a table may have.

    >>> name_of("s3a://Lake/sets//fraud/") == name_of("s3://lake/sets/fraud")
    True
    """
    same = _written_the_same_way(place)
    # For people; the hash alone is what tells places apart.
    shown = re.sub("[^a-z0-9]+", "_", same.rpartition("/")[2].lower()).strip("_")[:_SHOWN]
    return f"at_{shown}_{hashlib.sha256(same.encode()).hexdigest()[:16]}"


def _written_the_same_way(place: str) -> str:
    """A local path without links and dots, or a URL with one spelling of its scheme and slashes."""
    location = urlsplit(place)
    if location.scheme in {"", "file"}:
        return str(Path(unquote(location.path) if location.scheme else place).resolve())
    scheme = _SAME_SCHEMES.get(location.scheme, location.scheme)
    # A user may be a container of Azure, but a password decides nothing.
    user, at, where = location.netloc.rpartition("@")
    host = f"{user.partition(':')[0]}{at}{where}".lower()
    return "/".join([f"{scheme}:/", host, *(one for one in location.path.split("/") if one)])
