"""Operators that run commands of Headrace, here or on Spark, and retry what may work later."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from headrace_factory.document import environment
from headrace_factory.lineage import driver_environment, run_above

if TYPE_CHECKING:
    from airflow.sdk import Context

#: The status with which Headrace says that the same command may work later.
RETRYABLE = 75
#: Above it a shell says by which signal a process ended.
_SIGNALS = 128
#: The status of a report that a person has to judge.
_JUDGED = 1


class HeadraceOperator(BaseOperator):  # type: ignore[misc] # its environment has the types
    """A command of Headrace.

    It fails for good unless the command says that it may work later, or was killed.
    """

    template_fields: Sequence[str] = ("arguments",)
    ui_color = "#dcebf5"

    def __init__(
        self,
        *,
        command: str,
        folder: str,
        arguments: Sequence[str],
        lists: Mapping[str, str] | None = None,
        reports: bool = False,
        **kwargs: Any,
    ) -> None:
        """A task.

        Args:
            command: `headrace`.
            folder: of the project.
            arguments: after it.
            lists: arguments in whose place there is an option for each value of a parameter.
            reports: what it prints is the task's result, with status 1 as well.
            kwargs: of every operator.
        """
        super().__init__(**kwargs)
        self.command = command
        self.folder = folder
        self.arguments = list(arguments)
        self.lists = dict(lists or {})
        self.reports = reports
        self._process: subprocess.Popen[bytes] | None = None

    def execute(self, context: Context) -> str | None:
        """Run it; the report, if it is one."""
        arguments = [
            one for argument in self.arguments for one in self._options(argument, context["params"])
        ]
        self.log.info("headrace %s", " ".join(arguments))
        process = self._process = subprocess.Popen(  # noqa: S603 - the command that was chosen
            [self.command, *arguments],
            cwd=self.folder,
            env={**environment(os.environ), **run_above(context)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if self.reports else subprocess.STDOUT,
            start_new_session=True,
        )
        told: list[str] = []
        report = ""
        if self.reports:
            # Both at once, as a pipe that nobody reads holds the command up. Where this task is
            # ended amid it, nothing may wait for the thread: the command is ended only then.
            beside = threading.Thread(target=self._log, args=(process.stderr, told), daemon=True)
            beside.start()
            lines = (line.decode(errors="replace").rstrip() for line in process.stdout or ())
            report = "\n".join(lines)
            beside.join()
        else:
            self._log(process.stdout, told)
        status = process.wait()
        if self.reports and status in {0, _JUDGED}:
            return report
        require_success(status, told[-1] if told else f"status {status}")
        return None

    def _log(self, lines: Iterable[bytes] | None, told: list[str]) -> None:
        """Log what a command says, line by line, and keep its last line."""
        for line in lines or ():
            said = line.decode(errors="replace").rstrip()
            if said:
                self.log.info("%s", said)
                told[:] = [said]

    def _options(self, argument: str, params: Mapping[str, Any]) -> list[str]:
        name = self.lists.get(argument)
        if name is None:
            return [argument]
        return [one for value in params[name] for one in (f"--{name}", str(value))]

    def on_kill(self) -> None:
        """End the command and what it has started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)


def require_success(status: int, told: str) -> None:
    """See that a command has ended well.

    Args:
        status: with which it ended; below 0, or above 128, a signal has ended it.
        told: its last line.

    Raises:
        AirflowException: it may work later.
        AirflowFailException: it won't.
    """
    if status == 0:
        return
    if status == RETRYABLE or status < 0 or status > _SIGNALS:
        raise AirflowException(told)
    raise AirflowFailException(told)


def spark_operator() -> type[BaseOperator]:
    """The operator that submits a command to the cluster of the connection `spark_default`.

    It is imported where a cluster is set alone, as that takes a second.
    """
    from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

    class HeadraceSparkOperator(SparkSubmitOperator):  # type: ignore[misc] # likewise
        """A command of Headrace, submitted to Spark."""

        conf: dict[str, Any] | None

        def __init__(self, *, folder: str, **kwargs: Any) -> None:
            """A task of the project in a folder; the rest is that of `SparkSubmitOperator`."""
            super().__init__(**kwargs)
            self.folder = folder

        def execute(self, context: Context) -> Any:
            """Submit it, and wait."""
            above = run_above(context)
            # A task has a process of its own. A driver elsewhere is told by its cluster manager.
            os.environ.update(above)
            os.environ.pop("PYTHONPATH", None)
            # Settings and definitions are found from there on.
            os.chdir(self.folder)
            self.conf = {**(self.conf or {}), **driver_environment(above)}
            try:
                return super().execute(context)
            except AirflowException as error:
                ended = re.search(r"Error code is: (\d+)", str(error))
                if ended is None:
                    raise
                require_success(int(ended[1]), str(error))

    return HeadraceSparkOperator
