"""The Java archives that Spark needs beside its own."""

from __future__ import annotations

from pathlib import Path

from headrace_features.archives import Archives

#: With which Spark reads and writes Delta tables and reads Kafka: for its setting `spark.jars`.
SPARK = Archives(
    what="Spark's jars for Delta and Kafka",
    lock=Path(__file__).with_name("jgo.lock.toml"),
    variable="HEADRACE_SPARK_JARS",
    extra="batch",
)
#: By which Spark tells of its jobs, where a project asks for that.
LISTENER = Archives(
    what="the jar of Spark's OpenLineage listener",
    lock=Path(__file__).parent / "archives" / "lineage" / "jgo.lock.toml",
    variable="HEADRACE_LISTENER_JARS",
    extra="batch",
)

if __name__ == "__main__":
    print(*SPARK.paths(), sep="\n")  # noqa: T201 - the set-up fetches and lists them this way
