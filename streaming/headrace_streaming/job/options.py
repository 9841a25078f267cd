"""What the settings say of Flink: options of the job and of the embedded cluster."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.setting_table import EMBEDDED
from headrace_streaming.job.config import JobConfig, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace_schemas.settings import Settings

_MS = timedelta(milliseconds=1)
_CHECKPOINTS = "execution.checkpointing.dir"
_BACKEND = "state.backend.type"
_INCREMENTAL = "execution.checkpointing.incremental"
_CHANGELOG = "state.changelog.enabled"
#: A job that is restored reads the changes since then; writing the state holds alerts up.
_WHOLE_STATE = {"state.changelog.periodic-materialize.interval": "3 min"}
#: What the guarantees stand on, and what has a setting of its own.
_OURS = {
    _CHECKPOINTS: "[stream] checkpoint_directory",
    _BACKEND: "[stream] state_backend",
    _INCREMENTAL: "[stream] state_backend",
    _CHANGELOG: "[stream] state_changelog",
    "execution.checkpointing.interval": "[stream] checkpoint_interval",
    "execution.checkpointing.timeout": "[stream] transaction_timeout",
    "parallelism.default": "[stream] parallelism",
    "rest.address": "[flink] rest_address",
    "rest.port": "[flink] rest_address",
    "execution.checkpointing.mode": None,
    "execution.checkpointing.unaligned.enabled": None,
    "pipeline.generic-types": None,
}


def job_config(
    settings: Settings,
    kafka: Mapping[str, str],
    epoch: int,
    *,
    bounded: bool = False,
) -> JobConfig:
    """One deployment as the settings describe it.

    Raises:
        ConfigurationError: the settings don't fit together.
    """
    stream = settings.stream
    # A transaction is open from the end of one checkpoint to that of the next.
    if stream.checkpoint_interval * 2 > stream.transaction_timeout:
        raise ConfigurationError(
            f"stream.checkpoint_interval is {stream.checkpoint_interval}, expected at most half of"
            f" stream.transaction_timeout, {stream.transaction_timeout}",
            hint="else the broker aborts decisions before they are committed",
        )
    return JobConfig(
        kafka=kafka,
        epoch=epoch,
        mode=Mode(stream.mode),
        bounded=bounded,
        lateness_ms=stream.lateness // _MS,
        checkpoint_interval_ms=stream.checkpoint_interval // _MS,
        transaction_timeout_ms=stream.transaction_timeout // _MS,
        parallelism=stream.parallelism,
        flink=job_options(settings),
    )


def job_options(settings: Settings) -> dict[str, str]:
    """What the job is told.

    Raises:
        ConfigurationError: `[flink] conf` has what can't be changed there.
    """
    for name in settings.flink.conf:
        if name in _OURS:
            instead = _OURS[name]
            raise ConfigurationError(
                f"flink.conf has {name}, which "
                + (f"is set by {instead}" if instead else "can't be changed"),
                hint=f"found in: {settings.source_of('flink.conf')}",
            )
    backend = settings.stream.state_backend
    options = {_BACKEND: backend, _INCREMENTAL: str(backend == "rocksdb").lower()}
    if has_changelog(settings):
        options |= {_CHANGELOG: "true", **_WHOLE_STATE}
    directory = checkpoint_directory(settings)
    if directory is not None:
        options[_CHECKPOINTS] = directory
    return {**options, **settings.flink.conf}


def has_changelog(settings: Settings) -> bool:
    """Whether changes of state are written as they are made."""
    return settings.stream.state_changelog == "on"


def checkpoint_directory(settings: Settings) -> str | None:
    """The URL of the folder for checkpoints; None where it is left to another cluster."""
    name = "stream.checkpoint_directory"
    if settings.flink.rest_address != EMBEDDED and settings.source_of(name) == "default":
        return None
    found = settings.stream.checkpoint_directory
    return found if "://" in found else Path(found).as_uri()
