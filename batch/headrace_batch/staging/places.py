"""Where declared training sets are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings


def place_of(settings: Settings, name: str) -> str:
    """Where the shards of a declared set are published: a path or a URL."""
    return f"{settings.training.path.rstrip('/')}/{name}"
