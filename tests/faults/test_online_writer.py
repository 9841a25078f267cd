"""Whatever fails below or beside the online writer, the store comes to have what was sent."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from headrace_features.embedded import Service
from headrace_features.online.store import StateStore
from headrace_features.online.stores import open_store
from headrace_features.project import load_project
from headrace_schemas.settings import Settings, load
from headrace_streaming.kafka.topics import create_topics, topics_of
from headrace_streaming.services import control
from live_run import kill, until
from online_updates import Traffic, writer_process, writing
from redis_servers import redis_server
from streams import broker_in

#: A writer in a group of its own, so that it needn't wait until a killed one is missed.
CHILD = """
import os, sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Event
from headrace_features.online.stores import open_store
from headrace_features.project import load_project
from headrace_schemas.settings import load
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.writer.batches import Limits
from headrace_streaming.writer.changes import DeclaredViews
from headrace_streaming.writer.loop import WriterLoop
settings = load(Path.cwd(), os.environ)
project = replace(load_project(settings), name=sys.argv[1])
views = DeclaredViews(project.views.values())
store = cache(lambda: open_store(settings))
WriterLoop(
    kafka_config(settings), project, views, store, print, Event(), limits=Limits(records=20)
).run()
"""
#: Kills it amidst the steps of one batch: when so many scripts have put changes in, before or after
#: the store is told how far that goes.
AIMED = CHILD.replace(
    "settings = load",
    """
import signal
from headrace_features.online import redis_scripts, redis_store
evaluated, before, left = redis_scripts.evaluated, sys.argv[2] == "before", [3]
def aimed(client, calls):
    calls = list(calls)
    scripts = {call.script for call in calls}
    left[0] -= redis_store._APPLY in scripts
    last = not left[0] and redis_store._ADVANCE in scripts
    if last and before:
        os.kill(os.getpid(), signal.SIGKILL)
    answers = evaluated(client, calls)
    if last:
        os.kill(os.getpid(), signal.SIGKILL)
    return answers
redis_scripts.evaluated = aimed
settings = load""",
    1,
)
KILLS = 8


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("writer")


@pytest.fixture(scope="module")
def traffic(home: Path) -> Iterator[Traffic]:
    with broker_in(home) as config:
        create_topics(config, topics_of(load_project(load(home, {"HEADRACE_HOME": str(home)}))))
        traffic = Traffic(config)
        traffic.send(20_000)
        yield traffic


@pytest.fixture
def sqlite(tmp_path: Path) -> dict[str, str]:
    return {"HEADRACE_ONLINE_PATH": str(tmp_path / "online.db")}


def opened(home: Path, environ: Mapping[str, str]) -> tuple[Settings, StateStore]:
    settings = load(home, {"HEADRACE_HOME": str(home), **environ})
    return settings, open_store(settings)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_killed_at_random_moments(
    kind: str, home: Path, traffic: Traffic, sqlite: dict[str, str]
) -> None:
    chance = random.Random(kind)
    with redis_server() as server:
        environ = sqlite if kind == "sqlite" else server.environ()
        settings, store = opened(home, environ)
        for number in range(KILLS):
            before = written(store)
            child = subprocess.Popen(
                [sys.executable, "-c", CHILD, f"killed-{kind}-{number}"],
                env={**os.environ, "HEADRACE_HOME": str(home), **environ},
                cwd=home,
            )
            try:
                until(partial(has_more, store, before), "it writes", pause_s=0.002)
                time.sleep(chance.uniform(0.0, 0.04))
                assert child.poll() is None
            finally:
                child.kill()
                child.wait()
        assert 0 < written(store) < len(traffic.sent)
        with writing(settings):
            traffic.require_in(store)


@pytest.mark.parametrize("aim", ["before", "after"])
def test_killed_around_the_moment_in_which_redis_is_told_how_far_it_is(
    aim: str, home: Path, traffic: Traffic
) -> None:
    with redis_server() as server:
        settings, store = opened(home, server.environ())
        for number in range(2):
            before = written(store)
            child = subprocess.run(
                [sys.executable, "-c", AIMED, f"aimed-{aim}-{number}", aim],
                env={**os.environ, "HEADRACE_HOME": str(home), **server.environ()},
                cwd=home,
                check=False,
                timeout=60,
            )
            assert child.returncode == -signal.SIGKILL
            # Two batches of twenty at most, and the third if it was told of.
            assert 0 < written(store) - before <= (40 if aim == "before" else 60)
        with writing(settings):
            traffic.require_in(store)


def written(store: StateStore) -> int:
    """How many records are in the store."""
    return sum(one.next_offset for one in store.progress().values())


def has_more(store: StateStore, than: int) -> bool:
    return written(store) > than


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_one_that_was_stopped_and_replaced_goes_on_later(
    kind: str, home: Path, traffic: Traffic, sqlite: dict[str, str]
) -> None:
    with redis_server() as server:
        environ = sqlite if kind == "sqlite" else server.environ()
        settings, store = opened(home, environ)
        with writer_process(home, environ) as stopped:
            until(lambda: bool(store.progress()), "it writes", pause_s=0.002)
            stopped.signal(signal.SIGSTOP)
            with writing(settings) as other:
                traffic.send(500)
                # After it was missed for some seconds.
                traffic.require_in(store)
                until(lambda: other.partitions() == 4, "the other one has all partitions")
                stopped.signal(signal.SIGCONT)
                traffic.send(500)
                until(lambda: other.partitions() == 2, "they share")
                traffic.require_in(store)
            traffic.send(500)
            traffic.require_in(store)
            stopped.end()


def test_redis_is_killed_and_comes_back_empty(home: Path, traffic: Traffic) -> None:
    with redis_server() as server:
        settings, store = opened(home, server.environ())
        with writing(settings) as writer:
            traffic.require_in(store)
            server.kill()
            traffic.send(300)
            until(lambda: writer.status is not None and bool(writer.status.problem), "it knows")
            server.start()
            traffic.require_in(store)
            with server.client() as client:
                client.flushall()
            traffic.require_in(store)
        problem, over = writer.told
        assert "Redis at" in problem
        assert over == "the online store takes updates again"


def test_redis_is_full_for_a_while(home: Path, traffic: Traffic) -> None:
    with redis_server(maxmemory="4mb", maxmemory_policy="noeviction") as server:
        settings, store = opened(home, server.environ())
        traffic.send(3_000, size=2_000, entities=3_000)
        with writing(settings) as writer:
            until(lambda: bool(writer.told), "it is full", pause_s=0.02)
            assert "can't answer now: command not allowed when used memory" in writer.told[0]
            with server.client() as client:
                client.config_set("maxmemory", 0)
            traffic.require_in(store)
        assert len(writer.told) == 2


def test_redis_does_not_answer_for_a_while(home: Path, traffic: Traffic) -> None:
    with redis_server() as server:
        _, store = opened(home, {**server.environ(), "HEADRACE_ONLINE_TIMEOUT": "20s"})
        with writer_process(home, server.environ()) as writer:
            traffic.require_in(store)
            before = resident(writer.pid)
            server.pause()
            traffic.send(15_000, size=5_000)
            # As long as it takes to read all of that, were it read.
            time.sleep(3)
            assert resident(writer.pid) - before < 60 << 20
            server.go_on()
            traffic.require_in(store)
            assert writer.end()["updates"] > 0


def resident(pid: int) -> int:
    """How much memory a process has, bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_the_broker_is_away_for_a_while(
    home: Path, traffic: Traffic, sqlite: dict[str, str]
) -> None:
    settings, store = opened(home, sqlite)
    with writing(settings) as writer:
        traffic.require_in(store)
        kill(home, Service.KAFKA)
        until(lambda: bool(writer.told), "it knows")
        away_ms = time.time_ns() // 1_000_000
        time.sleep(1.5)  # in which it would have asked again where the partitions end
        # Nobody knows what there is.
        assert all(one.current_ms < away_ms for one in store.progress().values())
        control.up(home, os.environ, wanted=(Service.KAFKA,))
        traffic.send(300)
        traffic.require_in(store)
    assert "no Kafka broker answers" in writer.told[0]
    assert "answers again" in writer.told[1]
