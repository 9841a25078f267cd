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


@pytest.fixture
def shop(tmp_path: Path, home: Path) -> Path:
    """A project whose stream runs, and that is registered."""
    headrace(home, "init", "shop", folder=tmp_path)
    folder = tmp_path / "shop"
    headrace(home, "up", folder=folder)
    headrace(home, "apply", folder=folder)
    headrace(home, "stream", "deploy", folder=folder)
    return folder
