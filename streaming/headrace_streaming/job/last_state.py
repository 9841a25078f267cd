"""Where a project's job left its state, remembered beside the cluster, which forgets it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlparse

import msgspec

from headrace_schemas.errors import ConfigurationError
from headrace_streaming.job.config import LakeState
from headrace_streaming.whole_file import write_whole

#: How files end that lie beside what is remembered: definitions that a deployment was given.
DEFINITIONS = ".definitions.json"
_CHECKPOINT = re.compile(r"chk-(\d+)")


class LastState(msgspec.Struct, frozen=True):
    """The job that was deployed last, and the savepoint it was stopped with, if it was.

    Attributes:
        job_id: of the last deployment.
        checkpoints: the folder of all jobs' checkpoints as a URL.
        savepoint: what it was stopped with.
        began_with: the state that it went on from, which holds until it has a checkpoint.
        lake: what that has, if it was made of the lake's events.
    """

    job_id: str
    checkpoints: str
    savepoint: str | None = None
    began_with: str | None = None
    lake: LakeState | None = None

    def path(self) -> str | None:
        """The newest state: the savepoint, else the newest whole checkpoint, else the first state.

        Returns:
            None where the job began with none and has left none.

        Raises:
            ConfigurationError: there may be checkpoints where they can't be looked for: on a file
                system that isn't of this machine.
        """
        if self.savepoint is not None:
            return self.savepoint
        url = urlparse(self.checkpoints)
        folder = Path(unquote(url.path))
        # A folder of another machine has a URL like one of this machine.
        if url.scheme not in {"", "file"} or not url.path or not folder.is_dir():
            began = f", which began with {self.began_with}," if self.began_with else ""
            raise ConfigurationError(
                f"the last state of job {self.job_id}{began} can't be looked for in"
                f" {self.checkpoints or 'the memory of a JobManager'}",
                hint="name it by --from PATH, or begin without any: --fresh",
            )
        found: dict[int, Path] = {}
        for checkpoint in (folder / self.job_id).glob("chk-*"):
            number = _CHECKPOINT.fullmatch(checkpoint.name)
            # It is written last.
            if number is not None and (checkpoint / "_metadata").is_file():
                found[int(number[1])] = checkpoint
        return found[max(found)].as_uri() if found else self.began_with


def remember(home: Path, project: str, state: LastState | None) -> None:
    """Write down what is known of a project's job, whole or not at all; None forgets it."""
    if state is None:
        _file(home, project).unlink(missing_ok=True)
    else:
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
