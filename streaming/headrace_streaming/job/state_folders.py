"""The folders of Flink's checkpoints and savepoints in a home, and which of them anything needs.

What the next deployment goes on from is never let go, nor what it refers to: an incremental
checkpoint, or one with a changelog, may be made of files in the folder of a job before it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

import msgspec

from headrace_features.embedded import Service, read_book
from headrace_features.processes import is_alive
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.setting_table import EMBEDDED
from headrace_streaming.job.cluster import Cluster
from headrace_streaming.job.last_state import DEFINITIONS, LastState
from headrace_streaming.job.options import checkpoint_directory

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

_DAY_MS = 86_400_000
#: How long a state stays that nothing refers to: somebody may go back to it by `--from`. Of a
#: savepoint as long as topics keep records, without which it is of no use.
CHECKPOINTS_STAY_MS = 7 * _DAY_MS
SAVEPOINTS_STAY_MS = 30 * _DAY_MS
#: How jobs are named, in the names of folders and inside of checkpoints.
_JOB = re.compile(r"[0-9a-f]{32}")
_NAMED = re.compile(rb"[0-9a-f]{32}|savepoint-[0-9a-f]{6}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class StateFolder:
    """A savepoint, or what a job has written of its state.

    Attributes:
        path: the folder.
        kind: `checkpoints`, `changelog` or `savepoint`.
        size: of its files, in bytes.
        changed_ms: when the newest of them was written, ms UTC.
        needed_by: what goes on with it, or may; None if nothing refers to it.
    """

    path: Path
    kind: str
    size: int
    changed_ms: int
    needed_by: str | None

    def is_over(self, now_ms: int) -> bool:
        """Whether nobody needs it any more."""
        stays_ms = SAVEPOINTS_STAY_MS if self.kind == "savepoint" else CHECKPOINTS_STAY_MS
        return self.needed_by is None and self.changed_ms + stays_ms < now_ms


def state_folders(settings: Settings) -> list[StateFolder]:
    """All of them that are in the home: what is elsewhere may be others' as well.

    Raises:
        RetryableError: the cluster of the settings doesn't answer, which may know more jobs.
        ConfigurationError: what is written down of a job can't be read.
    """
    places = dict(_places(settings))
    needed = dict(_needed(settings))
    within = {one: why for name, why in needed.items() for one in _within(places, name)}
    needed = {**within, **needed}
    return [
        StateFolder(folder, kind, *_weighed(folder), needed.get(folder.name))
        for folder, kind in sorted(places.items())
    ]


def delete_over(folders: Iterable[StateFolder], now_ms: int) -> None:
    """Delete those that nobody needs any more; nobody is to deploy meanwhile."""
    for folder in folders:
        if folder.is_over(now_ms):
            shutil.rmtree(folder.path)


def _places(settings: Settings) -> Iterator[tuple[Path, str]]:
    """The folders in the home, and of which kind each is."""
    flink = settings.home / "flink"
    checkpoints = {flink / "checkpoints"}
    named = urlparse(checkpoint_directory(settings) or "")
    if named.scheme == "file":
        checkpoints.add(Path(unquote(named.path)))
    for kind, parents in (
        ("checkpoints", checkpoints),
        ("changelog", {flink / "changelog"}),
        ("savepoint", {flink / "savepoints"}),
    ):
        for parent in parents:
            if not parent.is_dir() or not parent.is_relative_to(settings.home):
                continue
            for folder in parent.iterdir():
                is_job = _JOB.fullmatch(folder.name) is not None
                if folder.is_dir() and (is_job or kind == "savepoint"):
                    yield folder, kind


def _needed(settings: Settings) -> Iterator[tuple[str, str]]:
    """By the name of a folder what needs it: a job that the cluster knows, or a next deployment."""
    for file in sorted((settings.home / "stream").glob("*.json")):
        if file.name.endswith(DEFINITIONS):
            continue
        try:
            state = msgspec.json.decode(file.read_bytes(), type=LastState)
        except msgspec.DecodeError as error:
            raise ConfigurationError(
                f"{file} can't be read, which says what the next deployment goes on from: {error}",
                hint="deploy with --from PATH, which writes it anew",
            ) from error
        why = f"the next deployment of {file.stem}"
        yield state.job_id, why
        for place in filter(None, (state.savepoint, state.began_with)):
            for part in Path(unquote(urlparse(place).path)).parts:
                yield part, why
    for job in _jobs(settings):
        yield job, "a job of the cluster"


def _jobs(settings: Settings) -> list[str]:
    """The jobs that the cluster knows, ended or not."""
    if settings.flink.rest_address == EMBEDDED:
        entry = read_book(settings.home).services.get(Service.JOBMANAGER)
        if entry is None or entry.process is None or not is_alive(entry.process):
            return []
    return [job.job_id for job in Cluster.of(settings).all_jobs()]


def _within(places: dict[Path, str], name: str) -> set[str]:
    """The names of the folders that what is in a folder refers to."""
    found: set[str] = set()
    for folder in places:
        if folder.name == name:
            for metadata in folder.rglob("_metadata"):
                found |= {one.decode() for one in _NAMED.findall(metadata.read_bytes())}
    return found


def _weighed(folder: Path) -> tuple[int, int]:
    """The bytes of all files below a folder, and when the newest was written, ms UTC."""
    size, changed_ms = 0, folder.stat().st_mtime_ns // 1_000_000
    for file in folder.rglob("*"):
        try:
            told = file.stat()
        except FileNotFoundError:
            # Flink deletes what a newer checkpoint doesn't need.
            continue
        if file.is_file():
            size += told.st_size
        changed_ms = max(changed_ms, told.st_mtime_ns // 1_000_000)
    return size, changed_ms
