"""Where a project's job left its state, remembered beside the cluster, which forgets it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlparse

import msgspec

from headrace_schemas.errors import ConfigurationError
from headrace_streaming.whole_file import write_whole

_CHECKPOINT = re.compile(r"chk-(\d+)")


class LastState(msgspec.Struct, frozen=True):
    """The job that was deployed last, and the savepoint it was stopped with, if it was.

    Attributes:
        job_id: of the last deployment.
        checkpoints: the folder of all jobs' checkpoints as a URL.
        savepoint: what it was stopped with.
    """

    job_id: str
    checkpoints: str
    savepoint: str | None = None

    def path(self) -> str | None:
        """The newest state: the savepoint, else the newest whole checkpoint; None without any.

        Checkpoints are looked for on file systems of this machine only.
        """
        if self.savepoint is not None:
            return self.savepoint
        url = urlparse(self.checkpoints)
        if url.scheme != "file":
            return None
        found: dict[int, Path] = {}
        for folder in (Path(unquote(url.path)) / self.job_id).glob("chk-*"):
            number = _CHECKPOINT.fullmatch(folder.name)
            # It is written last.
            if number is not None and (folder / "_metadata").is_file():
                found[int(number[1])] = folder
        return found[max(found)].as_uri() if found else None


def remember(home: Path, project: str, state: LastState) -> None:
    """Write down what is known of a project's job, whole or not at all."""
    write_whole(_file(home, project), msgspec.json.encode(state))


def recall(home: Path, project: str) -> LastState | None:
    """What was written down; None where nothing was deployed from here."""
    try:
        return msgspec.json.decode(_file(home, project).read_bytes(), type=LastState)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def require_state(place: str) -> None:
    """See that a savepoint or checkpoint is there, as far as it lies on this machine.

    Raises:
        ConfigurationError: it isn't.
    """
    url = urlparse(place)
    if url.scheme not in {"", "file"}:
        return
    folder = Path(unquote(url.path))
    if not (folder / "_metadata").is_file() and not folder.is_file():
        raise ConfigurationError(
            f"there is no savepoint or checkpoint at {place}",
            hint="name another by --from, or begin without any: --fresh",
        )


def _file(home: Path, project: str) -> Path:
    return home / "stream" / f"{project}.json"
