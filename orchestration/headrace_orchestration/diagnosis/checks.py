"""What one check has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headrace_schemas.errors import HeadraceError


class Status(StrEnum):
    """How bad it is: a problem stops something that the settings ask for, a warning does not."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, and what to do about it or next."""

    name: str
    status: Status
    found: str
    advice: str | None = None


def failed(name: str, error: HeadraceError, status: Status = Status.PROBLEM) -> Check:
    """The check that ended with an error."""
    return Check(name, status, error.message, error.hint)
