"""What the error of an engine says, in one line."""

from __future__ import annotations

_LONGEST = 400


def first_line(error: Exception) -> str:
    """What an engine's error says, without the stack that Rust and C++ append, cut short."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[0] if lines else type(error).__name__
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…"
