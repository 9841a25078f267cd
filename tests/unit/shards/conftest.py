"""A set that is somewhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shard_server import Server
from training_sets import written

SIZES = [40, 40, 40, 40]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A remote store with a set of four shards of 40 rows."""
    written(tmp_path / "remote", {"train": SIZES})
    with Server(tmp_path / "remote") as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.free.set()
        found.shutdown()
        thread.join()
