"""What commits of the lake's tables say of themselves, as their history tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


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
