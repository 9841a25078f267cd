"""Where the files of a set are: a folder of this machine, or a URL that fsspec knows."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from headrace_schemas.errors import ConfigurationError, RetryableError

#: How often something is asked of a remote store, and how long after the first failure again.
ATTEMPTS = 5
_PAUSE_S = 0.2
_PIECE = 1 << 20
#: What a disk says that takes no more: it is full, or what its user may have is.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True)
class Store:
    """Files below a place, to be read.

    Attributes:
        place: a folder, or a URL such as ``s3://bucket/sets/fraud``.
        options: of the file system of fsspec.
        pause: waits some seconds before another attempt.
    """

    place: str
    options: Mapping[str, Any] = field(default_factory=dict)
    pause: Callable[[float], None] = time.sleep

    @property
    def folder(self) -> Path | None:
        """Where that is on this machine; None where it is remote."""
        parts = urlsplit(self.place)
        if not parts.scheme:
            return Path(self.place)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    def read(self, name: str) -> bytes:
        """A small file as a whole.

        Raises:
            FileNotFoundError: there is none.
            RetryableError: the store can't be reached.
        """
        folder = self.folder
        if folder is not None:
            return (folder / name).read_bytes()
        content: bytes = self._patiently(name, lambda: self._system().cat_file(self._url(name)))
        return content

    def fetch(self, name: str, file: BinaryIO) -> None:
        """Copy a file into one that is open.

        Raises:
            FileNotFoundError: there is none.
            RetryableError: the store can't be reached.
            OSError: with a number in `FULL`: there is no room.
        """
        folder = self.folder
        if folder is not None:
            with (folder / name).open("rb") as found:
                shutil.copyfileobj(found, file, _PIECE)
            return

        def copied() -> None:
            file.seek(0)
            with self._system().open(self._url(name), "rb") as found:
                shutil.copyfileobj(found, file, _PIECE)

        self._patiently(name, copied)

    def _url(self, name: str) -> str:
        return f"{self.place.rstrip('/')}/{name}"

    def _system(self) -> Any:
        try:
            from fsspec.core import url_to_fs
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"{self.place} is remote, which needs the package fsspec",
                hint="pip install 'headrace[training]'",
            ) from error
        try:
            return url_to_fs(self.place, **self.options)[0]
        except ImportError as error:
            raise ConfigurationError(
                f"{self.place} can't be read: {error}",
                hint="fsspec reads each kind of store by a package of its own, which"
                " headrace[training] leaves to you: pip install s3fs, gcsfs or adlfs",
            ) from error
        except ValueError as error:
            raise ConfigurationError(f"{self.place} can't be read: {error}") from error

    def _patiently(self, name: str, ask: Callable[[], Any]) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return ask()
            except (FileNotFoundError, ConfigurationError):
                raise
            except Exception as error:
                # Each store has errors of its own.
                if isinstance(error, OSError) and error.errno in FULL:
                    raise
                if attempt == ATTEMPTS:
                    raise RetryableError(
                        f"{self._url(name)} could not be read {ATTEMPTS} times:"
                        f" {type(error).__name__} {error}",
                        hint="see that the store is there, and run it again",
                    ) from error
            self.pause(_PAUSE_S * 2 ** (attempt - 1))
        raise AssertionError
