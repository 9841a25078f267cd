"""What the error of an engine says, in one line."""

from __future__ import annotations


def first_line(error: Exception) -> str:
    """What an engine's error says, without the stack that Rust and C++ append."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
