"""Remote and compressed shards come through a folder of this machine, within its limit."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_shards import Loader
from headrace_shards.store import ATTEMPTS, Store
from shard_server import Server, bytes_in
from training_sets import written

SIZES = [40, 40, 40, 40]


@pytest.fixture
def local(tmp_path: Path, server: Server) -> list[list[int]]:
    """The batches of the same set, read where it is."""
    del server
    return rows(Loader(tmp_path / "remote", batch_size=16))


def rows(loader: Loader) -> list[list[int]]:
    return [batch["ids"][:, 0].tolist() for batch in loader]


def test_a_remote_set_is_fetched_once_and_read_like_a_local_one(
    server: Server, local: list[list[int]], tmp_path: Path
) -> None:
    for _ in range(2):
        assert rows(Loader(server.url, batch_size=16, cache=tmp_path / "cache")) == local
    assert len([path for path in server.got if path.endswith(".mds")]) == len(SIZES)


def test_a_compressed_set_is_read_like_one_that_is_not(
    local: list[list[int]], tmp_path: Path
) -> None:
    written(tmp_path / "zipped", {"train": SIZES}, zstd=True)
    assert rows(Loader(tmp_path / "zipped", batch_size=16, cache=tmp_path / "cache")) == local
    # Before any batch, as other options that are wrong.
    with pytest.raises(ConfigurationError, match=r"is compressed.*give the loader a cache"):
        Loader(tmp_path / "zipped", batch_size=16)


def test_a_store_that_fails_for_a_while_is_asked_again(
    server: Server, local: list[list[int]], tmp_path: Path
) -> None:
    loader = Loader(server.url, batch_size=16, cache=tmp_path / "cache")
    server.refused = 2
    server.cut = 1
    assert rows(loader) == local


def test_a_store_that_stays_away_is_named(server: Server) -> None:
    waited: list[float] = []
    store = Store(server.url, pause=waited.append)
    server.refused = 1_000
    with pytest.raises(RetryableError, match=rf"manifest.json could not be read {ATTEMPTS} times"):
        store.read("manifest.json")
    assert len(waited) == ATTEMPTS - 1
    assert waited == sorted(waited)


def test_a_folder_stays_within_its_limit(
    server: Server, local: list[list[int]], tmp_path: Path
) -> None:
    size = (tmp_path / "remote/train/shard.00000.mds").stat().st_size
    cache = tmp_path / "cache"
    loader = Loader(server.url, batch_size=16, cache=cache, cache_limit=2 * size, block_rows=16)
    found = []
    for batch in loader:
        found.append(batch["ids"][:, 0].tolist())
        assert bytes_in(cache) <= 2 * size
    assert sorted(chain.from_iterable(found)) == sorted(chain.from_iterable(local))
    with pytest.raises(ConfigurationError, match="the cache may hold"):
        rows(Loader(server.url, batch_size=16, cache=tmp_path / "small", cache_limit=size - 1))


def test_nobody_waits_for_what_a_killed_process_left(
    server: Server, local: list[list[int]], tmp_path: Path
) -> None:
    size = (tmp_path / "remote/train/shard.00000.mds").stat().st_size
    cache = tmp_path / "cache"
    cache.mkdir()
    left = cache / "abc.1.part"
    left.write_bytes(bytes(size))
    # With it there would be room for nothing else.
    loader = Loader(server.url, batch_size=16, cache=cache, cache_limit=size, prefetch=0)
    assert rows(loader) == local
    assert not left.exists()


def test_what_another_process_is_writing_is_left_alone(
    server: Server, local: list[list[int]], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    with (cache / "abc.1.part").open("wb") as written_to:
        fcntl.flock(written_to, fcntl.LOCK_EX)
        assert rows(Loader(server.url, batch_size=16, cache=cache)) == local
        assert (cache / "abc.1.part").exists()


def test_a_shard_that_was_damaged_in_the_folder_is_fetched_again(
    server: Server, local: list[list[int]], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    rows(Loader(server.url, batch_size=16, cache=cache))
    for path in cache.glob("*.mds"):
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(content)
    assert rows(Loader(server.url, batch_size=16, cache=cache)) == local


def test_several_processes_share_a_folder(server: Server, tmp_path: Path) -> None:
    size = (tmp_path / "remote/train/shard.00000.mds").stat().st_size
    script = (
        "import sys; from headrace_shards import Loader\n"
        "loader = Loader(sys.argv[1], batch_size=16, cache=sys.argv[2],"
        " cache_limit=int(sys.argv[3]), threads=2)\n"
        "print(sum(int(batch['ids'][:, 0].sum()) for _ in range(5) for batch in loader))"
    )
    line = [sys.executable, "-c", script, server.url, str(tmp_path / "cache"), str(2 * size)]
    started = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    expected = 5 * sum(range(sum(SIZES)))
    assert [int(one.communicate(timeout=120)[0]) for one in started] == [expected] * 3


@pytest.mark.parametrize("said", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(
    said: int, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Store, name: str, file: object) -> None:
        del self, name, file
        raise OSError(said, os.strerror(said))

    loader = Loader(server.url, batch_size=16, cache=tmp_path / "cache")
    monkeypatch.setattr(Store, "fetch", full)
    with pytest.raises(RetryableError, match="there is no room for"):
        rows(loader)
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_remote_set_needs_a_folder(server: Server) -> None:
    with pytest.raises(ConfigurationError, match="is remote: its shards need a folder"):
        Loader(server.url, batch_size=16)


def test_a_folder_that_cannot_be_used_is_named_before_any_batch(
    server: Server, tmp_path: Path
) -> None:
    written(tmp_path / "zipped", {"train": SIZES}, zstd=True)
    file = tmp_path / "file"
    file.write_text("mine")
    taken = tmp_path / "taken"
    (taken / "lock").mkdir(parents=True)
    for place in (server.url, tmp_path / "zipped"):
        for cache in (file, file / "below", taken, Path("/proc/nope")):
            with pytest.raises(
                ConfigurationError, match=rf"^the cache {cache} is no folder in which files can be"
            ):
                Loader(place, batch_size=16, cache=cache)
    assert file.read_text() == "mine"


def test_a_folder_that_was_lost_since_is_named_and_no_shard(server: Server, tmp_path: Path) -> None:
    loader = Loader(server.url, batch_size=16, cache=tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("mine")
    with pytest.raises(ConfigurationError, match=rf"^the cache {tmp_path / 'cache'} is no folder"):
        rows(loader)


def test_a_set_that_is_mapped_where_it_is_needs_no_folder(server: Server, tmp_path: Path) -> None:
    del server
    assert rows(Loader(tmp_path / "remote", batch_size=16, cache=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()
