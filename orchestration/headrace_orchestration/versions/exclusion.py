"""One command at a time changes which versions there are."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from headrace_features.exclusive import exclusive
from headrace_schemas.errors import RetryableError

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings


def alone_with_versions(settings: Settings, project: Project) -> AbstractContextManager[int]:
    """Let no other command with the same home change which versions there are meanwhile.

    Raises:
        RetryableError: another one is at it.
    """
    taken = RetryableError("another command changes what is served", hint="wait for it")
    return exclusive(settings.home / "stream" / f"{project.name}.versions.lock", taken)
