"""What goes wrong inside Spark, as the errors of Headrace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from delta.exceptions import DeltaConcurrentModificationException
from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
from pyspark.errors import PySparkException

from headrace_schemas.errors import (
    BadRecordError,
    ConfigurationError,
    HeadraceError,
    RetryableError,
    UnsupportedError,
)
from headrace_schemas.reasons import Reason

# The kernel's own error at the end of a worker's traceback.
_OVERFLOW = re.compile(r"BadRecordError: (.+?)(?: \((filter the events.*?)\))?$", re.MULTILINE)
# Any other of ours, in the same place.
_OURS = re.compile(r"^headrace_schemas\.errors\.(\w+): (.+)$", re.MULTILINE)
_KINDS = {kind.__name__: kind for kind in (ConfigurationError, RetryableError, UnsupportedError)}

#: What Spark raises, and what is raised where its JVM no longer listens.
RAISED = (PySparkException, Py4JError, ConnectionRefusedError)

# What ends a job, or a session, though the next one may go well.
_PASSING = {
    "the master can't be reached, or has ended the application": re.compile(
        r"All masters are unresponsive|on a stopped SparkContext|SparkContext was shut down"
    ),
    "executors were lost": re.compile(r"ExecutorLostFailure|FetchFailed"),
    "a Python worker was killed": re.compile(r"Python worker exited unexpectedly"),
}
_AGAIN = "run it again: what was published stays whole"

_STORE_HINT = (
    "Spark reads object stores by Hadoop's own jar and settings: name them in [spark.conf], such "
    "as spark.jars.packages = org.apache.hadoop:hadoop-aws and spark.hadoop.fs.s3a.access.key"
)


class SparkFailedError(HeadraceError):
    """A Spark job ended with an error that is none of Headrace's own."""

    exit_code: ClassVar[int] = 70


@contextmanager
def spark_errors(what: str, conflict: RetryableError | None = None) -> Iterator[None]:
    """Turn what Spark raises inside the block into one line.

    Args:
        what: what is being done, to begin the line with.
        conflict: raised where another writer came first.
    """
    try:
        yield
    except DeltaConcurrentModificationException as error:
        raise conflict or RetryableError(f"{what}: another writer came first") from error
    except RAISED as error:
        text = str(error)
        if conflict is not None and re.search(r"\bio\.delta\.exceptions\.\w*Concurrent", text):
            raise conflict from error
        overflow = _OVERFLOW.search(text)
        if overflow is not None:
            raise BadRecordError(Reason.INTEGER_OVERFLOW, overflow[1], hint=overflow[2]) from error
        ours = _OURS.search(text)
        if ours is not None and ours[1] in _KINDS:
            # Its hint is part of the line.
            raise _KINDS[ours[1]](ours[2]) from error
        later = passing(what, error)
        if later is not None:
            raise later from error
        cause = _cause(text)
        hint = _STORE_HINT if "fs.s3a.S3AFileSystem not found" in cause else None
        raise SparkFailedError(f"{what}: Spark failed: {cause}", hint=hint) from error


def passing(what: str, error: Exception) -> RetryableError | None:
    """The error to raise where what Spark has raised may not come again; None where it will.

    Args:
        what: what was being done, to begin the line with.
        error: one of those in `RAISED`.
    """
    if _is_unanswered(error):
        return RetryableError(
            f"{what}: the JVM of Spark has ended",
            hint=f"it is killed where memory runs out; {_AGAIN}",
        )
    text = str(error)
    told = next((told for told, said in _PASSING.items() if said.search(text)), None)
    if told is None:
        return None
    return RetryableError(f"{what}: {told}", hint=f"Spark's own logs say why; {_AGAIN}")


def _is_unanswered(error: Exception) -> bool:
    """Whether the JVM has gone: py4j then says which call has failed, and no more."""
    if isinstance(error, (ConnectionRefusedError, Py4JNetworkError)):
        return True
    is_told = isinstance(error, Py4JJavaError) or "Trace:" in str(error)
    return isinstance(error, Py4JError) and not is_told


def _cause(text: str) -> str:
    """The innermost cause that a stack trace names, or else its first line."""
    causes = re.findall(r"^Caused by: (.+)$", text, re.MULTILINE)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return causes[-1] if causes else next(iter(lines), "no message")
