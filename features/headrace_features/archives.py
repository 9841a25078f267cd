"""Java archives that an engine or a broker needs: found, or fetched once, by a lock of hashes."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from headrace_schemas.errors import ConfigurationError

_CHECKOUT = Path(__file__).resolve().parents[2]


class LockedJar(NamedTuple):
    """One archive of the lock: its Maven coordinate and the SHA-256 of its bytes."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name it has in a folder of jars."""
        return f"{self.artifact}-{self.version}.jar"


@dataclass(frozen=True, slots=True)
class Archives:
    """The archives of one lock.

    Attributes:
        what: what they are, for people.
        lock: the lock file that jgo wrote.
        variable: an environment variable that names other archives to take instead.
        extra: the extra of the distribution that brings what fetches them.
    """

    what: str
    lock: Path
    variable: str
    extra: str

    def paths(self) -> tuple[Path, ...]:
        """The archives.

        Those that the variable names, if it is set. Otherwise exactly the locked ones, from
        `.jgo/` in a checkout or from the user's cache folder beside an installed wheel; the
        first call fetches them.

        Raises:
            ConfigurationError: a named archive does not exist, or one could not be fetched.
        """
        named = os.environ.get(self.variable)
        if named:
            return self._named(named)
        paths = self.expected()
        if not all(path.is_file() for path in paths):
            self._fetch(paths[0].parent)
        return paths

    def locked(self) -> tuple[LockedJar, ...]:
        """What the lock holds, in its order."""
        return tuple(
            LockedJar(entry["groupId"], entry["artifactId"], entry["version"], entry["sha256"])
            for entry in tomllib.loads(self.lock.read_text())["dependencies"]
        )

    def expected(self) -> tuple[Path, ...]:
        """Where the locked archives lie once they were fetched."""
        jars = self.locked()
        sums = hashlib.sha256("".join(jar.sha256 for jar in jars).encode())
        folder = _jars_folder() / f"jars-{sums.hexdigest()[:12]}"
        return tuple(folder / jar.file_name for jar in jars)

    def _named(self, named: str) -> tuple[Path, ...]:
        paths = tuple(Path(part) for part in named.split(os.pathsep) if part)
        for path in paths:
            if not path.is_file():
                raise ConfigurationError(
                    f"{self.variable} names {str(path)!r}, which is not a file",
                    hint="correct the variable, or unset it to use the locked jars",
                )
        return paths

    def _fetch(self, folder: Path) -> None:
        """Put verified copies of the archives into `folder`, which appears whole or not at all."""
        try:
            from jgo.maven import MavenContext
        except ImportError as error:
            raise ConfigurationError(
                f"{self.what} are not here, and jgo, which fetches them, is not installed",
                hint=f"pip install 'headrace[{self.extra}]'",
            ) from error
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder.parent) as scratch:
                # A repository of its own: in a shared one, a download that was cut short stays.
                maven = MavenContext(repo_cache=Path(scratch) / "repository", timeout=60)
                complete = Path(scratch) / "jars"
                complete.mkdir()
                for jar in self.locked():
                    component = maven.project(jar.group, jar.artifact).at_version(jar.version)
                    fetched = Path(component.artifact().resolve())
                    check_sum(jar, fetched)
                    fetched.rename(complete / jar.file_name)
                move_into_place(complete, folder)
        except (OSError, RuntimeError) as error:  # requests' are OSErrors, jgo's RuntimeErrors
            raise ConfigurationError(
                f"could not fetch {self.what} into {str(folder)!r}: {error}",
                hint=f"without a network, name the jars in {self.variable},"
                f" separated by {os.pathsep!r}",
            ) from error


def _jars_folder() -> Path:
    """`.jgo/` of the checkout that this module is part of, else a folder in the user's cache."""
    if (_CHECKOUT / "jgo.toml").is_file():
        return _CHECKOUT / ".jgo"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "headrace"


def check_sum(jar: LockedJar, path: Path) -> None:
    """Refuse a file whose bytes are not those that the lock describes."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != jar.sha256:
        raise ConfigurationError(
            f"{jar.file_name} has the SHA-256 {found}, the lock says {jar.sha256}",
            hint="try again; if it stays so, the repository answers with another file",
        )


def move_into_place(complete: Path, folder: Path) -> None:
    """Rename `complete` to `folder`, unless another process has just done so."""
    names = {path.name for path in complete.iterdir()}
    if folder.is_dir() and not names <= {path.name for path in folder.iterdir()}:
        shutil.rmtree(folder)  # someone removed a jar from it
    try:
        complete.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
