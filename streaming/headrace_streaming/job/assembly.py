"""Assembles the pipeline: Kafka sources, one feature operator a stage, rules, Kafka sinks.

Every record stays in the JVM: what is put together here are operators of the jar, by the names of
their Java classes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.topics import (
    ALERTS,
    DEAD_LETTERS,
    DECISIONS,
    FEATURE_UPDATES,
    LATE_EVENTS,
    MOST_OUTPUT_BYTES,
    PARTITIONS,
    apart,
    history_topic,
    updates_name,
)
from headrace_streaming.job.config import JobConfig, Mode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyflink.datastream import StreamExecutionEnvironment

_OPERATOR = "io.headrace.operator.stream"
# All sources keep pace with each other.
_ALIGNED = "events"
_ALIGNMENT_INTERVAL_MS = 100
# How records are sent. Each batch that is compressed takes 130 KB of buffers of its own, so that
# many small ones would fill the heap with them: alerts go at once and as they are, others together.
_AT_ONCE = {"linger.ms": "0", "compression.type": "none"}
_TOGETHER = {"linger.ms": "50", "batch.size": str(128 * 1024), "compression.type": "lz4"}
# Nobody can read them before the checkpoint, which sends what still waits.
_COMMITTED = {**_TOGETHER, "linger.ms": "200"}


def job_name(project: str) -> str:
    """The name by which the cluster knows a project's job."""
    return f"headrace-{project}"


def consumer_group(project: str, epoch: int) -> str:
    """The group in which a deployment of a project's job tells how far it has read."""
    return f"{job_name(project)}-{epoch}"


def history_job_name(project: str) -> str:
    """The name of the job that makes the state of a project's job out of history."""
    return f"{job_name(project)}-history"


def assemble(environment: StreamExecutionEnvironment, plan: str, config: JobConfig) -> None:
    """Put the whole job of a plan into an execution environment."""
    _Assembly(environment, plan, config).build()


class _Assembly:
    """One job being put together; its streams are Java objects."""

    def __init__(
        self, environment: StreamExecutionEnvironment, plan: str, config: JobConfig
    ) -> None:
        from pyflink.java_gateway import get_gateway

        self._jvm = get_gateway().jvm
        self._environment = environment
        self._plan_json = plan
        self._plan: dict[str, Any] = json.loads(plan)
        self._config = config
        self._project = self._plan["project"]
        ending = f".{config.namespace}" if config.namespace else ""
        self._full_name = f"{self._project}{ending}"
        # What decisions, and the project's other topics, are told by.
        self._ending = "" if config.live else f".{apart(self._project, config.namespace)}"
        self._told_by = self._project if config.live else apart(self._project, config.namespace)
        self._sources = [source["name"] for source in self._plan["sources"]]
        self._views = {view["name"]: view for view in self._plan["views"]}

    def build(self) -> None:
        """Wire sources, stages, rules and sinks."""
        events = {name: self._source(place) for place, name in enumerate(self._sources)}
        aside = [self._side(stream, "ASIDE") for stream in events.values()]
        for place, decision in enumerate(self._plan["decisions"]):
            stream = events[decision["source"]]
            for number, stage in enumerate(decision["stages"]):
                facts = self._facts(decision, stage)
                stream = self._stage(place, number, stage, stream, [events[f] for f in facts])
                aside.append(self._side(stream, "ASIDE"))
            if self._config.history is not None:
                continue
            decided = self._decided(place, decision["name"], stream)
            self._ledger(decided, decision["name"])
            if decision["rules"]:
                alerts = self._side(decided, "ALERTS")
                told = {ALERTS: ALERTS} if self._config.live else {}
                self._sink(alerts, told, _AT_ONCE, f"alerts-{decision['name']}")
        self._sink(_union(aside), self._aside(), _TOGETHER, "aside")

    def _aside(self) -> dict[str, str]:
        """Where changed fields go, and what can't be used as it should be."""
        history = self._config.history
        updates = updates_name(self._project, self._config.namespace)
        if history is not None:
            # What is half made of history must not be taken for what a deployment has made.
            return {FEATURE_UPDATES: history_topic(updates, history)}
        topics = {FEATURE_UPDATES: updates, LATE_EVENTS: f"{LATE_EVENTS}{self._ending}"}
        # Whoever decides tells of the same records.
        return topics | ({DEAD_LETTERS: DEAD_LETTERS} if self._config.live else {})

    def _facts(self, decision: dict[str, Any], stage: dict[str, Any]) -> list[str]:
        """The sources of a stage's views besides the one that is decided on."""
        sources = (self._views[view]["source"] for view in stage["views"])
        return [name for name in dict.fromkeys(sources) if name != decision["source"]]

    def _decoder(self, place: int) -> Any:
        from py4j.protocol import Py4JJavaError

        try:
            return self._java("RecordDecoder")(self._plan_json, place, self._config.most_ahead_ms)
        except Py4JJavaError as error:
            told = error.java_exception.getMessage()
            raise ConfigurationError(
                f"source {self._plan['sources'][place]['name']}: {told}",
                hint="say it in another way, which Python's and Java's expressions have in common",
            ) from error

    def _source(self, place: int) -> Any:
        """The decoded events of a source; what can't be used goes to a side output."""
        source = self._plan["sources"][place]
        kafka = self._jvm.org.apache.flink.connector.kafka.source
        initializer = kafka.enumerator.initializer.OffsetsInitializer
        history = self._config.history
        builder = (
            kafka.KafkaSource.builder()
            .setGroupId(history or consumer_group(self._full_name, self._config.epoch))
            .setTopics([history_topic(source["topic"], history) if history else source["topic"]])
            .setStartingOffsets(self._start(source))
            .setDeserializer(self._decoder(place))
        )
        # What a transaction has aborted is no event.
        for name, value in {"isolation.level": "read_committed", **self._config.kafka}.items():
            builder.setProperty(name, value)
        if self._config.bounded:
            builder.setBounded(initializer.latest())
        duration = self._jvm.java.time.Duration.ofMillis
        strategy = self._jvm.org.apache.flink.api.common.eventtime.WatermarkStrategy
        watermarks = (
            strategy.forBoundedOutOfOrderness(duration(self._config.out_of_orderness_ms))
            .withTimestampAssigner(self._java("EventTimes")())
            .withIdleness(duration(self._config.idle_ms))
            # Else a source that is read faster would make the events of the others late.
            .withWatermarkAlignment(
                _ALIGNED, duration(self._config.most_apart_ms), duration(_ALIGNMENT_INTERVAL_MS)
            )
        )
        name = source["name"]
        topic = builder.build()
        if self._config.bounded:
            topic = self._java("PacedSource")(topic)
        read = self._environment._j_stream_execution_environment.fromSource(  # noqa: SLF001 - PyFlink's own way down
            topic, watermarks, name, self._types.ENVELOPE
        ).uid(f"{'source' if history is None else 'history'}-{name}")
        decoded = (
            read.process(self._java("DeadLetterFunction")(self._plan_json), self._types.ENVELOPE)
            .name(f"{name}: decoded")
            .uid(f"decoded-{name}")
        )
        if self._config.bounded:
            # A reader of one partition.
            read.setParallelism(PARTITIONS)
            decoded.setParallelism(PARTITIONS)
        return decoded

    def _start(self, source: dict[str, Any]) -> Any:
        """Where a source begins that no state tells it of."""
        offsets = self._java("StartOffsets")()
        lake = self._config.lake
        if lake is not None:
            for partition, offset in lake.starts.get(source["name"], {}).items():
                offsets.add(source["topic"], partition, offset)
        return offsets.initializer()

    def _stage(
        self, place: int, number: int, stage: dict[str, Any], stream: Any, facts: Iterable[Any]
    ) -> Any:
        key = self._java("EntityKey")(self._plan_json, stage["join_key"])
        bounds = self._jvm.io.headrace.operator.state.Bounds(
            self._config.lateness_ms, self._config.dedup_ms, self._config.most_events
        )
        function = self._java("FeatureFunction")(
            self._plan_json,
            place,
            number,
            self._config.mode is Mode.ORDERED,
            self._config.goes_on,
            bounds,
            self._config.epoch,
        )
        label = f"{self._plan['decisions'][place]['name']}-{stage['join_key']}"
        name = f"{', '.join(stage['views'])} by {stage['join_key']}"
        return (
            _union([stream, *facts])
            .keyBy(key, self._jvm.org.apache.flink.api.common.typeinfo.Types.STRING)
            .transform(name, self._types.ENVELOPE, self._java("StageOperator")(function))
            .uid(f"features-{label}")
        )

    def _decided(self, place: int, name: str, stream: Any) -> Any:
        function = self._java("DecisionFunction")(
            self._plan_json,
            place,
            self._config.mode is Mode.ORDERED,
            self._deployment(),
            self._transactions(name),
        )
        return (
            stream.process(function, self._types.RECORD)
            .name(f"{name}: decided")
            .uid(f"decided-{name}")
        )

    def _ledger(self, stream: Any, name: str) -> None:
        """Decisions, each committed once."""
        builder = self._sink_builder({DECISIONS: f"{DECISIONS}{self._ending}"}, _COMMITTED)
        builder.setDeliveryGuarantee(self._guarantee.EXACTLY_ONCE)
        # Numbered, so that a deployment that is superseded never aborts what a newer one commits.
        builder.setTransactionalIdPrefix(f"{self._transactions(name)}-{self._config.epoch}")
        builder.setProperty("transaction.timeout.ms", str(self._config.transaction_timeout_ms))
        sink = self._java("LedgerSink")(builder.build(), self._deployment())
        # In a task of its own: preparing and committing a transaction takes its time, in which no
        # alert should wait. Whole, so that what is to be committed is before its writer starts.
        stream.rescale().sinkTo(sink).name("decisions").uid(f"sink-decisions-{name}")

    def _sink(
        self, stream: Any, topics: dict[str, str], sending: dict[str, str], label: str
    ) -> None:
        """Records that are sent at least once, without waiting for a checkpoint."""
        builder = self._sink_builder(topics, sending)
        builder.setDeliveryGuarantee(self._guarantee.AT_LEAST_ONCE)
        name = ", ".join(topics.values()) or "nowhere"
        stream.sinkTo(builder.build()).name(name).uid(f"sink-{label}")

    def _sink_builder(self, topics: dict[str, str], sending: dict[str, str]) -> Any:
        builder = (
            self._jvm.org.apache.flink.connector.kafka.sink.KafkaSink.builder()
            .setRecordSerializer(self._java("RecordSchema")(topics))
            .setProperty("max.request.size", str(MOST_OUTPUT_BYTES))
        )
        for name, value in {**sending, **self._config.kafka}.items():
            builder.setProperty(name, value)
        return builder

    def _deployment(self) -> Any:
        kafka = self._jvm.java.util.Properties()
        for name, value in self._config.kafka.items():
            kafka.setProperty(name, value)
        log = self._java("DecisionLog")(self._told_by, self._ending, self._config.decided_since_ms)
        return self._java("Deployment")(self._project, log, self._config.epoch, kafka)

    def _transactions(self, name: str) -> str:
        """What the ids of a decision's transactions begin with, whatever the deployment."""
        return f"{job_name(self._told_by)}-{name}"

    @property
    def _guarantee(self) -> Any:
        return self._jvm.org.apache.flink.connector.base.DeliveryGuarantee

    def _side(self, stream: Any, tag: str) -> Any:
        return stream.getSideOutput(getattr(self._java("Outputs"), tag))

    def _java(self, name: str) -> Any:
        package = self._jvm
        for part in f"{_OPERATOR}.{name}".split("."):
            package = getattr(package, part)
        return package

    @property
    def _types(self) -> Any:
        return self._java("Types")


def _union(streams: list[Any]) -> Any:
    from pyflink.java_gateway import get_gateway
    from pyflink.util.java_utils import to_jarray

    first, *others = streams
    kind = get_gateway().jvm.org.apache.flink.streaming.api.datastream.DataStream
    return first.union(to_jarray(kind, others)) if others else first
