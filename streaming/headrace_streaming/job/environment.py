"""The execution environment of the job: checkpoints, jars and what keeps latency low."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_streaming.jars import job_jars

if TYPE_CHECKING:
    from pyflink.datastream import StreamExecutionEnvironment

    from headrace_streaming.job.config import JobConfig

#: A buffer that isn't full is sent after so long: the wait between two operators.
_BUFFER_TIMEOUT_MS = 4
_WATERMARK_INTERVAL_MS = 50
_CHECKPOINT_TIMEOUT_MS = 600_000


def new_environment(config: JobConfig) -> StreamExecutionEnvironment:
    """An environment for one deployment, on the cluster that the caller's configuration names."""
    from pyflink.common import Configuration
    from pyflink.datastream import StreamExecutionEnvironment

    options = Configuration()
    options.set_string("pipeline.object-reuse", "true")
    options.set_string("pipeline.generic-types", "false")
    options.set_string("pipeline.auto-watermark-interval", f"{_WATERMARK_INTERVAL_MS} ms")
    options.set_string("execution.buffer-timeout.interval", f"{_BUFFER_TIMEOUT_MS} ms")
    options.set_string("execution.checkpointing.interval", f"{config.checkpoint_interval_ms} ms")
    options.set_string("execution.checkpointing.mode", "EXACTLY_ONCE")
    options.set_string("execution.checkpointing.timeout", f"{_checkpoint_timeout_ms(config)} ms")
    options.set_string(
        "execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION"
    )
    for name, value in config.flink.items():
        options.set_string(name, value)
    environment = StreamExecutionEnvironment.get_execution_environment(options)
    environment.set_parallelism(config.parallelism)
    environment.add_jars(*(path.as_uri() for path in job_jars()))
    return environment


def restored_from(environment: StreamExecutionEnvironment) -> str | None:
    """The savepoint or checkpoint that a job of this environment goes on from, if any."""
    from pyflink.common import Configuration
    from pyflink.util.java_utils import get_j_env_configuration

    options = Configuration(
        j_configuration=get_j_env_configuration(environment._j_stream_execution_environment)  # noqa: SLF001 - PyFlink's own way down
    )
    path: str | None = options.get_string("execution.state-recovery.path", "") or None
    return path


def _checkpoint_timeout_ms(config: JobConfig) -> int:
    """Short enough to leave a job that restarts time to commit what it has prepared."""
    left = config.transaction_timeout_ms - config.checkpoint_interval_ms
    return min(_CHECKPOINT_TIMEOUT_MS, left // 2)
