"""What long runs of a deployed job begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams import headrace


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Where the embedded services of a test have their data."""
    yield tmp_path / "home"
    headrace(tmp_path / "home", "down", folder=tmp_path)
