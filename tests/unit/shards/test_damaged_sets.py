"""Whatever is wrong with a set is named, and never gives a wrong row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace_schemas.errors import ConfigurationError
from headrace_shards import DamagedShardError, Loader, Source
from headrace_shards.manifest import FILE
from headrace_shards.mds import open_rows
from training_sets import LAYOUT, written

FIRST, SECOND = "shard.00000.mds", "shard.00001.mds"
SIZES = [40, 40, 40]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A set."""
    written(tmp_path / "set", {"train": SIZES})
    return tmp_path / "set"


def truncate(folder: Path) -> None:
    content = (folder / FIRST).read_bytes()
    (folder / FIRST).write_bytes(content[:-1])


def flip(folder: Path) -> None:
    content = bytearray((folder / FIRST).read_bytes())
    content[-5] ^= 4
    (folder / FIRST).write_bytes(content)


def remove(folder: Path) -> None:
    (folder / FIRST).unlink()


def swap(folder: Path) -> None:
    first, second = (folder / FIRST).read_bytes(), (folder / SECOND).read_bytes()
    (folder / FIRST).write_bytes(second)
    (folder / SECOND).write_bytes(first)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (truncate, ", expected"),
        (flip, "its SHA-256 is"),
        (remove, "there is no such file"),
        (swap, "its SHA-256 is"),
    ],
)
@pytest.mark.parametrize("is_cached", [False, True])
def test_a_damaged_shard_is_named(
    harm: Callable[[Path], None],
    said: str,
    is_cached: bool,  # noqa: FBT001 - a case
    place: Path,
    tmp_path: Path,
) -> None:
    harm(place / "train")
    where = f"memory://{place}" if is_cached else str(place)
    if is_cached:
        in_memory(place)
    loader = Loader(where, batch_size=40, cache=tmp_path / "cache", last="short")
    with pytest.raises(
        DamagedShardError, match=r"the shard train/shard\.0000\d\.mds is damaged"
    ) as failed:
        list(loader)
    assert said in str(failed.value)
    assert not list((tmp_path / "cache").glob("*.part"))


@pytest.mark.parametrize("zstd", [False, True])
def test_shards_of_two_splits_that_have_one_name_are_told_apart(
    zstd: bool,  # noqa: FBT001 - a case
    tmp_path: Path,
) -> None:
    place, cache = tmp_path / "both", tmp_path / "cache"
    written(place, {"train": [40], "valid": [40]}, zstd=zstd)
    stored = f"{FIRST}.zstd" if zstd else FIRST
    train, valid = (place / split / stored for split in ("train", "valid"))
    content = train.read_bytes()
    train.write_bytes(valid.read_bytes())
    valid.write_bytes(content)
    for split in ("train", "valid"):
        with pytest.raises(DamagedShardError, match=rf"the shard {split}/{stored} is damaged"):
            list(Loader(Source(place, split), batch_size=40, cache=cache))


def in_memory(place: Path) -> None:
    """Copy a set to where fsspec has files in memory."""
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in place.rglob("*"):
        if path.is_file():
            memory.pipe_file(str(path), path.read_bytes())


def test_a_header_that_is_not_that_of_its_rows_is_refused(place: Path) -> None:
    path = place / "train" / FIRST
    content = bytearray(path.read_bytes())
    content[0] += 1
    path.write_bytes(content)
    with pytest.raises(DamagedShardError, match="its header is not that of 40 rows"):
        list(Loader(place, batch_size=40, verify=False))


def test_a_shard_that_lost_its_content_is_refused(place: Path) -> None:
    (place / "train" / FIRST).write_bytes(b"")
    with pytest.raises(DamagedShardError, match="0 bytes, expected"):
        list(Loader(place, batch_size=40))
    # One that was good when it was looked at is mapped again at times.
    with pytest.raises(DamagedShardError, match="it is empty"):
        open_rows(place / "train" / FIRST, f"train/{FIRST}", LAYOUT, 40)


def test_a_manifest_that_was_changed_or_is_none_is_refused(place: Path, tmp_path: Path) -> None:
    told = json.loads((place / FILE).read_bytes())
    told["splits"]["train"]["shards"][0]["rows"] = 39
    (place / FILE).write_text(json.dumps(told))
    with pytest.raises(ConfigurationError, match=r"was changed: its digest is"):
        Loader(place, batch_size=8)
    (place / FILE).write_text(json.dumps({**told, "format": 1}))
    with pytest.raises(ConfigurationError, match="a manifest of format 1, expected 2"):
        Loader(place, batch_size=8)
    del told["digest"]
    for content in ("", "[]", "{}", '{"format": 2}', json.dumps(told)):
        (place / FILE).write_text(content)
        with pytest.raises(ConfigurationError, match="is no manifest of a training set"):
            Loader(place, batch_size=8)
    with pytest.raises(ConfigurationError, match="there is no training set at"):
        Loader(Source(tmp_path / "none"), batch_size=8)


def test_what_is_told_of_the_rows_may_not_be_changed_either(place: Path) -> None:
    told = json.loads((place / FILE).read_bytes())
    (place / FILE).write_text(json.dumps(told, indent=3))
    Loader(place, batch_size=8)
    told["made_of"]["seed"] = 12
    (place / FILE).write_text(json.dumps(told))
    with pytest.raises(ConfigurationError, match="was changed: its rows are the same, what is"):
        Loader(place, batch_size=8)
    # Older manifests have no checksum.
    del told["checksum"]
    (place / FILE).write_text(json.dumps(told))
    Loader(place, batch_size=8)


def test_a_store_whose_package_is_missing_is_said_with_what_to_install() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^s3://lake/set can't be read: Install s3fs .*pip install s3fs"
    ):
        Loader("s3://lake/set", batch_size=8)
