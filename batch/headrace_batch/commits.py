"""What commits of the lake's tables say of themselves, as their history tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyarrow import fs


def actions_of(files: fs.FileSystem, number: int) -> list[dict[str, Any]] | None:
    """What a commit of a table did; None where the log has none of that number, or no longer.

    Args:
        files: those of the table.
        number: the version that it made.
    """
    try:
        with files.open_input_stream(f"_delta_log/{number:020d}.json") as log:
            return [json.loads(line) for line in log.read().splitlines() if line]
    except FileNotFoundError:
        return None


def told_by(commit: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was said with a commit, by the library or by Spark, which has a text for it."""
    text = commit.get("userMetadata")
    if not text:
        return commit
    try:
        told = json.loads(text)
    except ValueError:
        return commit
    return told if isinstance(told, dict) else commit
