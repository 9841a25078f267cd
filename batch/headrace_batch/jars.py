"""The Java archives that Spark needs beside its own: found, or fetched once."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import tomllib
from pathlib import Path
from typing import NamedTuple

from headrace_schemas.errors import ConfigurationError

JARS_VARIABLE = "HEADRACE_SPARK_JARS"
_LOCK = Path(__file__).with_name("jgo.lock.toml")
_CHECKOUT = Path(__file__).resolve().parents[2]
_NO_NETWORK_HINT = (
    f"without a network, name the jars in {JARS_VARIABLE}, separated by {os.pathsep!r}"
)


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


def delta_jars() -> tuple[Path, ...]:
    """The jars with which Spark reads and writes Delta tables, for its setting `spark.jars`.

    Those that `HEADRACE_SPARK_JARS` names, if it is set. Otherwise exactly the locked ones, from
    `.jgo/` in a checkout or from the user's cache folder beside an installed wheel; the first
    call fetches them.

    Raises:
        ConfigurationError: a named jar does not exist, or one could not be fetched.
    """
    named = os.environ.get(JARS_VARIABLE)
    if named:
        return _named_jars(named)
    paths = expected_jars()
    if not all(path.is_file() for path in paths):
        _fetch(locked_jars(_LOCK.read_bytes()), paths[0].parent)
    return paths


def expected_jars() -> tuple[Path, ...]:
    """Where the locked jars lie once they were fetched."""
    jars = locked_jars(_LOCK.read_bytes())
    sums = hashlib.sha256("".join(jar.sha256 for jar in jars).encode())
    folder = _jars_folder() / f"jars-{sums.hexdigest()[:12]}"
    return tuple(folder / jar.file_name for jar in jars)


def locked_jars(lock: bytes) -> tuple[LockedJar, ...]:
    """The jars that a jgo lock file holds, in its order."""
    return tuple(
        LockedJar(entry["groupId"], entry["artifactId"], entry["version"], entry["sha256"])
        for entry in tomllib.loads(lock.decode())["dependencies"]
    )


def _named_jars(named: str) -> tuple[Path, ...]:
    paths = tuple(Path(part) for part in named.split(os.pathsep) if part)
    for path in paths:
        if not path.is_file():
            raise ConfigurationError(
                f"{JARS_VARIABLE} names {str(path)!r}, which is not a file",
                hint="correct the variable, or unset it to use the locked jars",
            )
    return paths


def _jars_folder() -> Path:
    """`.jgo/` of the checkout that this module is part of, else a folder in the user's cache."""
    if (_CHECKOUT / "jgo.toml").is_file():
        return _CHECKOUT / ".jgo"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "headrace"


def _fetch(jars: tuple[LockedJar, ...], folder: Path) -> None:
    """Put verified copies of the jars into `folder`, which appears whole or not at all."""
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise ConfigurationError(
            "Spark's Delta jars are not here, and jgo, which fetches them, is not installed",
            hint="pip install 'headrace[batch]'",
        ) from error
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder.parent) as scratch:
            # A repository of its own: in a shared one, a download that was cut short stays.
            maven = MavenContext(repo_cache=Path(scratch) / "repository", timeout=60)
            complete = Path(scratch) / "jars"
            complete.mkdir()
            for jar in jars:
                component = maven.project(jar.group, jar.artifact).at_version(jar.version)
                fetched = Path(component.artifact().resolve())
                check_sum(jar, fetched)
                fetched.rename(complete / jar.file_name)
            move_into_place(complete, folder)
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors, jgo's RuntimeErrors
        raise ConfigurationError(
            f"could not fetch Spark's Delta jars into {str(folder)!r}: {error}",
            hint=_NO_NETWORK_HINT,
        ) from error


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


if __name__ == "__main__":
    print(*delta_jars(), sep="\n")  # noqa: T201 - the set-up fetches and lists them this way
