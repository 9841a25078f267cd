"""When two values are the same: in kind, and to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace_features.partials.partial import Value


def same(one: Value, other: Value) -> bool:
    """Whether two values have the same bits."""
    if isinstance(one, float) and isinstance(other, float):
        return one.hex() == other.hex()
    return type(one) is type(other) and one == other
