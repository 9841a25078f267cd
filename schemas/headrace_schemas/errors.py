"""The errors of Headrace: one base, and one child for each way in which a caller reacts."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace_schemas.reasons import Reason


class HeadraceError(Exception):
    """Something that a person can act on: what was found, what was expected, what to do.

    `str()` is one line, fit for a terminal. `exit_code` is the status with which a command
    ends on it; the children follow the numbers of BSD's sysexits.h.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        text = self.message if self.hint is None else f"{self.message} ({self.hint})"
        told = " ".join(line.strip() for line in text.splitlines() if line.strip())
        # Some messages quote a file, and no terminal should get what may be in one.
        return "".join(sign if sign.isprintable() else "?" for sign in told)


class ConfigurationError(HeadraceError):
    """Settings or definitions are wrong: a person has to change them."""

    exit_code: ClassVar[int] = 78

    @classmethod
    def unknown(
        cls, kind: str, name: str, allowed: Iterable[str], *, hint: str | None = None
    ) -> Self:
        """An error for a name that does not exist, with the nearest one and all that do.

        >>> str(ConfigurationError.unknown("engine", "sparc", ["local", "spark"]))
        "unknown engine 'sparc', did you mean 'spark'? known: local, spark"
        """
        known = sorted({str(one) for one in allowed})
        nearest = difflib.get_close_matches(name, known, n=1)
        joint = f", did you mean {nearest[0]!r}?" if nearest else ";"
        return cls(f"unknown {kind} {name!r}{joint} known: {', '.join(known) or 'none'}", hint=hint)


class BadRecordError(HeadraceError):
    """One record can't be used: keep it aside with its `reason` and go on with the next."""

    exit_code: ClassVar[int] = 65

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        # Pickling rebuilds an exception from its args: both have to be there.
        self.args = (reason, message)
        self.reason = reason
        self.field = field


class GateError(HeadraceError):
    """Data is not as it was declared to be, and nothing is published from it: a person decides."""

    exit_code: ClassVar[int] = 65


class UnsupportedError(HeadraceError):
    """What was asked for is valid but not offered here: ask for something else."""

    exit_code: ClassVar[int] = 69

    @classmethod
    def among(cls, asked: str, supported: Iterable[str], *, hint: str | None = None) -> Self:
        """An error that names what was asked for and lists, in the given order, what works.

        >>> str(UnsupportedError.among("file type '.orc'", [".parquet", ".csv"]))
        "file type '.orc' is not supported; supported: .parquet, .csv"
        """
        listed = ", ".join(supported) or "none"
        return cls(f"{asked} is not supported; supported: {listed}", hint=hint)


class RetryableError(HeadraceError):
    """Another writer, a lock or a lost service was in the way: the same call may succeed later."""

    exit_code: ClassVar[int] = 75


class StoppedError(HeadraceError):
    """A person has ended what went on: it says how far that came."""

    exit_code: ClassVar[int] = 130
