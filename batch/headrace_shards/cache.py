"""Shards on this machine: those of a remote set are fetched into a folder with a limit.

Several processes may share the folder. Files are named by their content, and come there whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_shards.errors import DamagedShardError
from headrace_shards.manifest import Shard
from headrace_shards.store import FULL

if TYPE_CHECKING:
    from headrace_shards.store import Store

_PART = ".part"
#: Held by whoever counts what is in the folder.
_LOCK = "lock"
_MORE_ROOM = "free some, or give the loader a smaller limit or another folder"
_PIECE = 1 << 20
#: What came damaged is fetched once more.
_FETCHES = 2
_PAUSE_S = 0.05


@dataclass(frozen=True)
class ShardFiles:
    """The shards of a split as files that can be mapped.

    Attributes:
        store: where the set is.
        split: the folder in it.
        cache: a folder; None for a set of this machine that isn't compressed.
        limit: how many bytes the folder may hold.
        verify: whether hashes are checked before a shard is first used; those of what is fetched
            always are.
    """

    store: Store
    split: str
    cache: Path | None = None
    limit: int = 1 << 34
    verify: bool = True
    _good: set[str] = field(default_factory=set)

    def path(self, shard: Shard) -> Path:
        """The file of a shard, whose content is as the manifest says.

        Raises:
            DamagedShardError: it isn't, or there is no such file.
            ConfigurationError: a remote or compressed set has no cache, one that can't be used, or
                one that is too small.
            RetryableError: the store can't be reached, or the disk is full.
            FileNotFoundError: another process that shares the folder has just deleted it.
        """
        folder = self.store.folder
        if folder is None or self.is_fetched(shard):
            return self._cached(shard)
        path = folder / shard.path(self.split)
        self._check(path, shard)
        return path

    def is_fetched(self, shard: Shard) -> bool:
        """Whether a shard comes through the folder: it is remote or compressed."""
        return self.store.folder is None or shard.compressed is not None

    def provide(self) -> Path:
        """The folder of shards that come through one, made if it has to be.

        Raises:
            ConfigurationError: there is none, or no files can be made in it.
            RetryableError: the disk is full.
        """
        if self.cache is None:
            what = "compressed" if self.store.folder is not None else "remote"
            raise ConfigurationError(
                f"{self.store.place} is {what}: its shards need a folder on this machine",
                hint="give the loader a cache",
            )
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            # A folder may be there and take no files.
            (self.cache / _LOCK).open("a").close()
        except OSError as error:
            if error.errno in FULL:
                raise RetryableError(
                    f"there is no room in {self.cache}", hint=_MORE_ROOM
                ) from error
            raise ConfigurationError(
                f"the cache {self.cache} is no folder in which files can be made: {error.strerror}",
                hint="give the loader one that is, or whose parent is",
            ) from error
        return self.cache

    def _check(self, path: Path, shard: Shard) -> None:
        if shard.raw.sha256 in self._good:
            return
        try:
            _require_size(shard.path(self.split), path.stat().st_size, shard.raw.size)
            if self.verify:
                _require_hash(shard.path(self.split), sha256_of(path), shard.raw.sha256)
        except FileNotFoundError as error:
            raise DamagedShardError(shard.path(self.split), "there is no such file") from error
        self._good.add(shard.raw.sha256)

    def _cached(self, shard: Shard) -> Path:
        cache = self.provide()
        path = cache / f"{shard.raw.sha256}.mds"
        # Whoever comes second finds it there.
        with _locked(cache / f"{shard.raw.sha256[:2]}.lock"):
            if path.exists():
                try:
                    self._check(path, shard)
                except DamagedShardError:
                    # A disk has lost some of it: what the set has is what counts.
                    path.unlink()
            if not path.exists():
                self._fetch(shard, path)
            # The oldest ones go first.
            os.utime(path)
        return path

    def _fetch(self, shard: Shard, path: Path) -> None:
        part = path.with_name(f"{path.stem}.{os.getpid()}{_PART}")
        for attempt in range(1, _FETCHES + 1):
            try:
                with self._room(part, shard.raw.size) as file:
                    self._copy(shard, file)
                    file.flush()
                    _require_size(shard.path(self.split), file.tell(), shard.raw.size)
                    _require_hash(shard.path(self.split), sha256_of(part), shard.raw.sha256)
                    # Who adds up what the folder holds finds it by one of its names.
                    with _locked(path.with_name(_LOCK)):
                        part.replace(path)
            except DamagedShardError:
                if attempt == _FETCHES:
                    raise
            except FileNotFoundError as error:
                raise DamagedShardError(shard.path(self.split), "there is no such file") from error
            except OSError as error:
                if error.errno not in FULL:
                    raise
                raise RetryableError(
                    f"there is no room for {shard.raw.size:,} bytes in {self.cache}",
                    hint=_MORE_ROOM,
                ) from error
            else:
                self._good.add(shard.raw.sha256)
                return
            finally:
                with suppress(FileNotFoundError):
                    part.unlink()

    def _copy(self, shard: Shard, file: BinaryIO) -> None:
        if shard.compressed is None:
            self.store.fetch(shard.path(self.split), file)
            return
        file.write(raw_content(self.split, shard, self.store.read(shard.path(self.split))))

    @contextmanager
    def _room(self, part: Path, size: int) -> Iterator[BinaryIO]:
        """A new file for which there is room within the limit, locked while it is written."""
        assert self.cache is not None  # noqa: S101 - what is fetched has one
        if size > self.limit:
            raise ConfigurationError(
                f"a shard has {size:,} bytes, and the cache may hold {self.limit:,}",
                hint="give the loader a higher limit",
            )
        with ExitStack() as opened:
            file: BinaryIO | None = None
            while file is None:
                with _locked(self.cache / _LOCK):
                    lacking, awaited = self._evict(size)
                    if lacking <= 0:
                        file = opened.enter_context(part.open("wb+"))
                        fcntl.flock(file, fcntl.LOCK_EX)
                        # From now on it counts, though nothing is in it.
                        file.truncate(size)
                        continue
                if not awaited:
                    raise ConfigurationError(
                        f"the cache {self.cache} may hold {self.limit:,} bytes,"
                        f" {lacking:,} too few",
                        hint="give the loader a higher limit",
                    )
                time.sleep(_PAUSE_S)
            yield file

    def _evict(self, size: int) -> tuple[int, bool]:
        """Delete what killed processes left, and what was used longest ago until there is room.

        Gives how many bytes are lacking, and whether others are fetching, which can go afterwards.
        """
        assert self.cache is not None  # noqa: S101 - likewise
        held, awaited = [], 0
        for path in self.cache.iterdir():
            with suppress(FileNotFoundError):
                state = path.stat()
                if path.suffix == ".mds":
                    held.append((state.st_mtime, path, state.st_size))
                elif path.suffix == _PART:
                    if _is_being_written(path):
                        awaited += state.st_size
                    else:
                        path.unlink()
        lacking = sum(one for _, _, one in held) + awaited + size - self.limit
        for _, path, freed in sorted(held):
            if lacking > 0:
                # Whoever has it mapped keeps it until it is done.
                path.unlink(missing_ok=True)
                lacking -= freed
        return lacking, awaited > 0


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def raw_content(split: str, shard: Shard, stored: bytes) -> bytes:
    """The bytes of a shard as it is mapped, from the file that a set has of it.

    Args:
        split: whose shard it is.
        shard: as the manifest has it.
        stored: the content of the file.

    Raises:
        DamagedShardError: the file is not what the manifest says.
    """
    name = shard.path(split)
    _require_hash(name, hashlib.sha256(stored).hexdigest(), shard.stored.sha256)
    if shard.compressed is None:
        return stored
    from headrace_shards.compression import decompressed

    content = decompressed(name, stored, shard.raw.size)
    _require_hash(name, hashlib.sha256(content).hexdigest(), shard.raw.sha256)
    return content


def _require_size(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise DamagedShardError(name, f"{found:,} bytes, expected {expected:,}")


def _require_hash(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise DamagedShardError(name, f"its SHA-256 is {found[:12]}…, expected {expected[:12]}…")


def _is_being_written(part: Path) -> bool:
    """Whether a process still writes a file; the lock of one that was killed is gone."""
    with part.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
