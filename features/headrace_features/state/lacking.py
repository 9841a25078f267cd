"""Up to when the stream's fields of an entity lack events.

An event may have been too old for the state that it came to, an entity have had too many, or a
field been too large for a record. One field tells of the newest event that may be missing: which
ones are is not known any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from headrace_features.partials.encoding import unpack

#: The name of the field.
LACKING = "m"


class Lacking(NamedTuple):
    """What events the fields may lack.

    Attributes:
        event_time_ms: none of them is newer, ms UTC.
        known_ms: by then each of them was known, ms UTC.
    """

    event_time_ms: int
    known_ms: int

    def is_in_batch(self, boundary_ms: int, known_ms: int | None) -> bool:
        """Whether a batch layer has all of them.

        Args:
            boundary_ms: the layer has the events before it.
            known_ms: it has those that were known by then; None where it leaves none out.
        """
        known = known_ms is None or self.known_ms <= known_ms
        return known and self.event_time_ms < boundary_ms


def lacking_of(fields: Mapping[str, bytes]) -> Lacking | None:
    """What the fields of an entity may lack; None for nothing.

    Raises:
        UnsupportedError: it was written in another version of the encoding.
    """
    content = fields.get(LACKING)
    return Lacking(*unpack(content)) if content else None
