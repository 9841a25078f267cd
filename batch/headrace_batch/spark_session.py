"""The Spark session: embedded by default, any cluster by configuration, always with Delta."""

from __future__ import annotations

import logging
import os
import signal
import socketserver
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JNetworkError
from pyspark import SparkConf, SparkContext, accumulators
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from headrace_batch.first_line import first_line
from headrace_batch.jars import SPARK
from headrace_batch.spark_errors import RAISED, passing
from headrace_batch.spark_lineage import CLASS, listener_conf, listener_jars
from headrace_features.java import java_home
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_schemas.settings import Settings

_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
#: One class of each connector that the jars bring.
_CONNECTORS = (_EXTENSION, "org.apache.spark.sql.kafka010.KafkaSourceProvider")

#: What holds for every master.
_ALWAYS: Mapping[str, str] = {
    "spark.sql.extensions": _EXTENSION,
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # Larger ones leave the processor's cache on their way to Python, smaller ones cost calls.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "16384",
    # Of rows with pictures fewer.
    "spark.sql.execution.arrow.maxBytesPerBatch": "64m",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # Streams keep nothing in a checkpoint that they would need again.
    "spark.sql.streaming.forceDeleteTempCheckpointLocation": "true",
    # The same URLs as everywhere else in Headrace; Hadoop calls its own store s3a.
    "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
}

#: What suits one machine; a cluster has its own settings for these.
_EMBEDDED: Mapping[str, str] = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # With what the JVM needs besides, this stays well below 4 GiB however many events there are.
    "spark.driver.memory": "2g",
    "spark.sql.shuffle.partitions": "4",
    "spark.databricks.delta.snapshotPartitions": "2",
    # To and from Python workers; faster than a port, and nobody else can connect.
    "spark.python.unix.domain.socket.enabled": "true",
}

#: What a JVM has to be started with; the rest, which may hold secrets, stays out of its command.
_AT_LAUNCH = ("spark.master", "spark.driver.", "spark.jars", "spark.submit.")


def spark_session(settings: Settings) -> SparkSession:
    """The session that is active, or else one made from the settings.

    Below `spark-submit` what was given there comes first, otherwise `[spark]` of the settings; what
    neither says is fit for one machine. Spark's own messages go to `logs/spark.log` in the home
    folder.

    Raises:
        ConfigurationError: no Java that Spark runs on, or Spark does not start.
        RetryableError: its master can't be reached, or its JVM was killed.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        if _EXTENSION not in (active.conf.get("spark.sql.extensions", "") or ""):
            raise ConfigurationError(
                "the active Spark session can't read Delta tables",
                hint=f"set spark.sql.extensions to {_EXTENSION}, or stop it to have one made",
            )
        return active
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    try:
        return _below_spark_submit(settings) if submitted else _embedded(settings)
    except RAISED as error:
        later = passing("Spark does not start", error)
        if later is not None:
            raise later from error
        raise ConfigurationError(
            f"Spark does not start: {first_line(error)}",
            hint="see [spark] in headrace.toml" if submitted else f"see {_log(settings)}",
        ) from error


def _embedded(settings: Settings) -> SparkSession:
    os.environ["JAVA_HOME"] = str(java_home())
    jars = ",".join(map(str, (*SPARK.paths(), *listener_jars(settings.lineage))))
    chosen = {
        "spark.master": settings.spark.master,
        "spark.jars": jars,
        **listener_conf(settings.lineage),
        **settings.spark.conf,
    }
    conf = SparkConf(loadDefaults=False).setAppName("headrace")
    conf.setAll(list({**_defaults(chosen["spark.master"]), **chosen}.items()))
    logging.getLogger().addFilter(_is_of_use)
    for server in (accumulators.AccumulatorTCPServer, accumulators.AccumulatorUnixServer):
        server.handle_error = _handle_error  # type: ignore[method-assign, assignment]
    with _interrupts_later():
        _launch(settings, conf)
        return SparkSession.builder.config(conf=conf).getOrCreate()


def _launch(settings: Settings, conf: SparkConf) -> None:
    """Start the JVM, unless this process has one."""
    if SparkContext._gateway is None:  # noqa: SLF001 - the one place that knows of a running JVM
        at_launch = SparkConf(loadDefaults=False).setAll(
            [(name, value) for name, value in conf.getAll() if name.startswith(_AT_LAUNCH)]
        )
        log = _log(settings)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stderr:
            gateway = launch_gateway(at_launch, {"stderr": stderr})  # type: ignore[no-untyped-call]
        SparkContext._ensure_initialized(gateway=gateway)  # noqa: SLF001 - as pyspark itself


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block, and then be what it was before.

    Python loses one that comes while it forks, and pyspark leaves a handler behind that calls the
    JVM from within a call and fails.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread, and pyspark sets no handler here
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _is_of_use(record: logging.LogRecord) -> bool:
    """Pass over the stack traces that py4j logs of a Ctrl-C, and of a JVM that has gone."""
    raised = record.exc_info[0] if record.exc_info else None
    return raised is None or not issubclass(raised, (KeyboardInterrupt, Py4JNetworkError))


def _handle_error(server: socketserver.BaseServer, request: Any, client_address: Any) -> None:
    """Pass over the stack trace that pyspark's thread for accumulators prints likewise."""
    if not isinstance(sys.exc_info()[1], EOFError):
        socketserver.BaseServer.handle_error(server, request, client_address)


def _below_spark_submit(settings: Settings) -> SparkSession:
    """A session in the JVM that spark-submit has started, with our jars added if it lacks them."""
    SparkContext._ensure_initialized()  # noqa: SLF001 - as pyspark itself
    conf = SparkConf()
    chosen: dict[str, str] = {
        **_defaults(conf.get("spark.master", "")),
        **listener_conf(settings.lineage),
        **settings.spark.conf,
    }
    for name, value in chosen.items():
        conf.setIfMissing(name, value)
    jvm: Any = SparkContext._jvm  # noqa: SLF001 - there is no public name for it
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    jars: tuple[Path, ...] = () if _has(loader, *_CONNECTORS) else SPARK.paths()
    if not _has(loader, CLASS):
        jars = (*jars, *listener_jars(settings.lineage))
    if jars:
        # What is there already comes first.
        for jar in jars:
            loader.addURL(jvm.java.net.URL(jar.as_uri()))
        given = conf.get("spark.jars", "") or ""
        conf.set("spark.jars", ",".join(filter(None, [given, *map(str, jars)])))
    return SparkSession.builder.config(conf=conf).getOrCreate()


def _has(loader: Any, *classes: str) -> bool:
    """Whether a class loader of the JVM knows some classes."""
    resources = (f"{name.replace('.', '/')}.class" for name in classes)
    return all(loader.getResource(resource) is not None for resource in resources)


def _defaults(master: str | None) -> dict[str, str]:
    return {**_ALWAYS, **(_EMBEDDED if (master or "").startswith("local") else {})}


def _log(settings: Settings) -> Path:
    return settings.home / "logs" / "spark.log"
