"""What long runs of a deployed job begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from shops import deployed_shop


@pytest.fixture
def shop(tmp_path: Path, home: Path) -> Path:
    """A project whose stream runs, and that is registered."""
    return deployed_shop(tmp_path, home)
