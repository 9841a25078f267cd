"""Training sets: shards that numpy maps, and a loader that a GPU can't outrun.

It stands on numpy alone; torch, fsspec and zstandard are imported where they are needed.
"""

from headrace_shards.batches import Last
from headrace_shards.errors import DamagedShardError
from headrace_shards.loader import Batch, Loader, Source
from headrace_shards.staged_set import StagedSet

__all__ = ["Batch", "DamagedShardError", "Last", "Loader", "Source", "StagedSet"]
