"""What `compose.yaml` starts works together: each service by its own command and health check."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace_schemas.events import Transaction
from headrace_streaming.services import broker, redis
from headrace_streaming.services.embedded import free_ports
from images import HOST, LOCKS, ROOT, Machine, Services, compose, described
from live_run import until
from servers import Server

KEY = {"X-API-Key": "a-key-of-16-signs"}
SECRETS = {"REDIS_PASSWORD": "a-password", "SERVING_KEY": KEY["X-API-Key"]}
PORTS = (
    *("kafka", "controller", "local", "redis", "server"),
    *("rpc", "rest", "blob", "jobmanager", "taskmanager"),
    *("master", "master-page", "worker-page"),
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """What the images hold; it takes gigabytes, which later runs don't need."""
    folder = tmp_path_factory.mktemp("images")
    yield Machine(folder)
    shutil.rmtree(folder)


@pytest.fixture
def ports() -> Mapping[str, int]:
    """Where everything is reached on this machine."""
    return free_ports(PORTS, ())


@pytest.fixture
def services(machine: Machine, tmp_path: Path, ports: Mapping[str, int]) -> Services:
    """The services, with their data in an empty folder."""
    (tmp_path / "data").mkdir()
    at = {name: str(port) for name, port in ports.items()}
    flink = {"8081": at["rest"], "6123": at["rpc"], "6124": at["blob"]}
    return Services(
        machine,
        tmp_path,
        SECRETS,
        {
            "/data": str(tmp_path / "data"),
            "/tmp": str(tmp_path),  # noqa: S108 - of a container
            "0.0.0.0": HOST,  # noqa: S104 - of a container
            "kafka:9092": f"{HOST}:{at['kafka']}",
            "kafka:9093": f"{HOST}:{at['controller']}",
            "redis:6379": f"{HOST}:{at['redis']}",
            "flink-jobmanager:8081": f"{HOST}:{at['rest']}",
            "flink-jobmanager": HOST,
            "spark-master": HOST,
            "7077": at["master"],
            "6566": at["server"],
        },
        {
            "kafka": {
                "/var/lib/kafka/data": str(tmp_path / "kafka"),
                ":9092": f"{HOST}:{at['kafka']}",
                ":9093": f"{HOST}:{at['controller']}",
                ":29092": f"{HOST}:{at['local']}",
                "localhost:29092": f"{HOST}:{at['local']}",
            },
            "flink-jobmanager": {**flink, "9249": at["jobmanager"]},
            "flink-taskmanager": {**flink, "9249": at["taskmanager"]},
            **dict.fromkeys(("register", "stream"), flink),
            "spark-master": {"8080": at["master-page"]},
            "spark-worker": {"8081": at["worker-page"]},
        },
    )


@contextmanager
def kafka(services: Services) -> Iterator[None]:
    """The embedded broker's archives with what compose.yaml tells Kafka's image."""
    environ = services.of("kafka").environ
    properties = {
        # As the image reads them.
        name.removeprefix("KAFKA_").lower().replace("_", "."): text
        for name, text in environ.items()
    }
    file = broker._written(services.folder / "server.properties", properties)
    tool = [*broker._java(), "kafka.tools.StorageTool", "format"]
    formatting = [*tool, "--cluster-id", "5L6g3nShT-eMCtK--X86sw", "--config", str(file)]
    subprocess.run(formatting, check=True, capture_output=True)
    command = [*broker._java(), "-Xmx512m", "kafka.Kafka", str(file)]
    with services.started("kafka", command=command):
        yield


@contextmanager
def store(services: Services, port: int) -> Iterator[None]:
    """This machine's Redis with the command of compose.yaml."""
    _, *arguments = services.of("redis").command
    here = ["--bind", HOST, "--port", str(port), "--dir", str(services.folder)]
    server = redis.program(os.environ)
    with services.started("redis", *here, command=[server, *arguments]):
        yield


def transactions(count: int) -> dict[str, list[Any]]:
    """Transactions of one card, just now, by columns."""
    now_ms = time.time_ns() // 1_000_000
    rows = [
        Transaction(
            transaction_id=f"t{number}",
            card_id="card-1",
            terminal_id="terminal-1",
            event_time=now_ms - count + number,
            amount_minor=100,
        )
        for number in range(count)
    ]
    return {name: [getattr(row, name) for row in rows] for name in Transaction.__struct_fields__}


def page(port: int, path: str) -> str:
    """What a process shows over HTTP."""
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_the_image_that_applies_definitions_has_all_that_a_change_of_them_takes() -> None:
    asked = compose(SECRETS)["services"]
    applying = [one for one in asked.values() if "apply" in one.get("command", ())]
    assert applying
    for one in applying:
        # Where a stream serves a view that has changed, history is replayed by Flink.
        target = one["build"]["target"]
        lock = (ROOT / "requirements" / f"{LOCKS.get(target, target)}.txt").read_text()
        packages = {line.partition("==")[0] for line in lock.splitlines()}
        assert {"apache-flink", "confluent-kafka", "feast", "redis"} <= packages
        environ = described(one).environ
        assert {"JAVA_HOME", "FLINK_CONF_DIR"} <= environ.keys()
        # A project may compute on Spark by its own settings.
        assert environ["HEADRACE_ENGINE_DEFAULT"] == "local" or "pyspark" in packages


def test_what_is_pushed_to_the_server_comes_back_from_it_as_features(
    services: Services, ports: Mapping[str, int]
) -> None:
    with ExitStack() as stack:
        stack.enter_context(kafka(services))
        stack.enter_context(store(services, ports["redis"]))
        jobmanager = stack.enter_context(services.started("flink-jobmanager"))
        services.until_healthy(jobmanager)
        taskmanager = stack.enter_context(services.started("flink-taskmanager"))
        writer = stack.enter_context(services.started("writer"))
        services.until_healthy(taskmanager)
        assert "registered in" in services.run("register")
        running = stack.enter_context(services.started("server"))
        services.until_healthy(running)
        server = Server(running.process, ports["server"], running.log)

        services.run("stream")
        assert "RUNNING" in services.run("stream", "headrace", "stream", "status")
        told = "headrace_states_expired_total"
        until(lambda: told in page(ports["taskmanager"], "/metrics"), "metrics of the operator")
        services.until_healthy(writer)

        asked = {
            "features": ["card_activity:count_1h"],
            "entities": {"card_id": ["card-1"]},
        }
        assert server.ask("/get-online-features", asked).status == 401
        pushed = {"push_source_name": "transactions_push", "df": transactions(3)}
        assert server.ask("/push", pushed, KEY).status == 200

        def counted() -> list[Any]:
            return server.ask("/get-online-features", asked, KEY).columns["count_1h"]

        until(lambda: counted() == [3], "all events are counted")
        assert (running.end(), writer.end()) == (0, 0)


def test_jobs_run_on_the_cluster_of_spark(services: Services, ports: Mapping[str, int]) -> None:
    # A container has an address that all others reach.
    here = {"SPARK_LOCAL_IP": HOST}
    with ExitStack() as stack:
        stack.enter_context(store(services, ports["redis"]))
        master = stack.enter_context(services.started("spark-master", **here))
        services.until_healthy(master)
        worker = stack.enter_context(services.started("spark-worker", **here))
        services.until_healthy(worker)
        events = services.folder / "events"
        services.run("batch", "headrace", "simulate", "--rows", "500", "--out", str(events))
        for file, source in (("transactions", "transactions"), ("labels", "transaction_labels")):
            path = str(events / f"{file}.parquet")
            services.run("batch", "headrace", "ingest", "--file", path, "--source", source)
        services.run("register", "headrace", "apply", "--yes")
        services.run("batch", **here)
        told = services.run("batch", "headrace", "online", "status", "--json")
        views = {one["view"]: one for one in json.loads(told)}
        assert views["card_activity"]["batch_boundary"] is not None
        (ran,) = json.loads(page(ports["master-page"], "/json/"))["completedapps"]
        assert ran["name"] == "headrace"
        for port, path in (
            (ports["master-page"], "/metrics/master/prometheus"),
            (ports["worker-page"], "/metrics/prometheus"),
        ):
            assert "metrics_" in page(port, path)
