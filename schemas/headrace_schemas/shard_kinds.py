"""What the shards of a training set are: those who declare, write and read sets agree on it."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What the shards of a set are."""

    MDS = "mds"
    WEBDATASET = "webdataset"
    PARQUET = "parquet"
