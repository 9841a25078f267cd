"""Small files that others find whole or not at all, even after a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Put a file in place of what was there, in one step; `mode` says who may read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    # One that was left behind has the mode that it was made with.
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:  # noqa: PTH123 - Path.open takes no descriptor
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    new.replace(path)
