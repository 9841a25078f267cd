"""The errors of training sets that are none of the others."""

from __future__ import annotations

from typing import ClassVar

from headrace_schemas.errors import HeadraceError


class DamagedShardError(HeadraceError):
    """A file is not what the manifest says: none of its rows may be used."""

    exit_code: ClassVar[int] = 65

    def __init__(self, name: str, found: str) -> None:
        super().__init__(
            f"the shard {name} is damaged: {found}",
            hint="headrace shards verify tells of all; stage the set again, or copy it anew",
        )
        # Pickling rebuilds an exception from its args.
        self.args = (name, found)
