"""What goes wrong in Spark decides whether it is worth while to try again."""

from __future__ import annotations

import pytest
from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkException

from headrace_batch.spark_errors import SparkFailedError, spark_errors
from headrace_schemas.errors import RetryableError

LOST = (
    "Job aborted due to stage failure: Task 3 in stage 7.0 failed 4 times, most recent failure: "
    "Lost task 3.3 in stage 7.0 (TID 41) (10.0.0.7 executor 2): ExecutorLostFailure (executor 2 "
    "exited caused by one of the running tasks) Reason: Command exited with code 137"
)
UNFETCHED = (
    "Job aborted due to stage failure: ShuffleMapStage 5 has failed the maximum allowable number "
    "of times: 4.\norg.apache.spark.shuffle.MetadataFetchFailedException: Missing an output "
    "location\nCaused by: org.apache.spark.shuffle.FetchFailedException: Failed to connect"
)


def raised(error: Exception) -> None:
    with spark_errors("backfill of a"):
        raise error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Py4JError("An error occurred while calling o166.save"), "the JVM of Spark has ended"),
        (Py4JNetworkError("Answer from Java side is empty"), "the JVM of Spark has ended"),
        (ConnectionRefusedError(111, "Connection refused"), "the JVM of Spark has ended"),
        (PySparkException(LOST), "executors were lost"),
        (PySparkException(UNFETCHED), "executors were lost"),
        (
            PySparkException("Python worker exited unexpectedly (crashed)"),
            "a Python worker was killed",
        ),
        (
            PySparkException("Cannot call methods on a stopped SparkContext."),
            "the master can't be reached, or has ended the application",
        ),
        (
            PySparkException("Job 3 cancelled because SparkContext was shut down"),
            "the master can't be reached, or has ended the application",
        ),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else one,
)
def test_what_was_killed_or_away_may_work_later(error: Exception, told: str) -> None:
    with pytest.raises(RetryableError) as failed:
        raised(error)
    assert failed.value.exit_code == 75
    assert str(failed.value).startswith(f"backfill of a: {told} (")
    assert str(failed.value).endswith("run it again: what was published stays whole)")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PySparkException("[DIVIDE_BY_ZERO] Division by zero."), "[DIVIDE_BY_ZERO] Division by"),
        (
            Py4JError("An error occurred while calling o3.a. Trace:\nMethod a([]) does not exist"),
            "An error occurred while calling o3.a",
        ),
    ],
    ids=["an answer of Spark", "an answer of py4j"],
)
def test_any_other_failure_of_spark_is_no_finding_of_a_check(error: Exception, told: str) -> None:
    with pytest.raises(SparkFailedError) as failed:
        raised(error)
    # 1 would be a report that a person has to judge.
    assert failed.value.exit_code == 70
    assert str(failed.value).startswith(f"backfill of a: Spark failed: {told}")
