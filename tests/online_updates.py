"""Feature updates that a test makes, writers that write them, and what the store has to have."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec
from confluent_kafka import Producer

from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.fraud.definitions import card_activity, terminal_risk
from headrace_features.online.layers import NO_LAYERS
from headrace_features.online.served import view_key
from headrace_features.online.store import StateStore, Wanted
from headrace_features.project import load_project
from headrace_features.state.updates import UPDATE_ENCODING, Update, newest_fields
from headrace_schemas.settings import Settings
from headrace_schemas.topics import FEATURE_UPDATES, PARTITIONS
from headrace_streaming.kafka.reading import ends
from headrace_streaming.writer.run import WriterReport, run_writer
from headrace_streaming.writer.status import WriterStatus
from live_run import until

VIEWS = (card_activity, terminal_risk)
PATIENCE_S = 30.0


class Traffic:
    """Updates as a stream sends them: in order by entity, some again, some of an old deployment."""

    def __init__(self, config: Mapping[str, str], seed: int = 1) -> None:
        self.config = config
        self.sent: list[Update] = []
        self._chance = random.Random(seed)
        self._sequences: dict[str, int] = {}
        options = {"linger.ms": 2, "log_level": 0, "enable.idempotence": True}
        self._producer = Producer({**config, **options})

    def send(self, count: int, *, size: int = 40, entities: int = 200) -> None:
        """Send some more, and wait until they are there."""
        for _ in range(count):
            self._put(self._next(size, entities))
        assert self._producer.flush(PATIENCE_S) == 0

    def _next(self, size: int, entities: int) -> Update:
        chance = self._chance
        if self.sent and chance.random() < 0.1:
            # As after a failure of the job.
            return chance.choice(self.sent[-500:])
        view = chance.choice(VIEWS)
        entity = f"entity-{chance.randrange(entities)}"
        old = chance.random() < 0.1
        sequence = self._sequences[entity] = self._sequences.get(entity, 0) + 1
        return Update(
            encoding=UPDATE_ENCODING,
            view=view.name,
            version=view.version,
            fingerprint=fingerprint(view),
            entity=entity,
            epoch=1 if old else 2,
            sequence=sequence,
            event_time=1_600_000_000_000 + len(self.sent),
            field=f"r{chance.randrange(18_500, 18_504)}",
            content=b"" if chance.random() < 0.05 else chance.randbytes(size),
        )

    def _put(self, update: Update) -> None:
        self.sent.append(update)
        owner = f"{update.view}:{update.version}:{update.entity}"
        self.put(msgspec.msgpack.encode(update), owner, update.field)

    def put(self, value: bytes | None, owner: str, field: str = "r1") -> None:
        """Send any record, placed as the stream does: all of an entity in one partition."""
        partition = zlib.crc32(owner.encode()) % PARTITIONS
        self._producer.produce(FEATURE_UPDATES, value, f"{owner}:{field}", partition)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until all is there."""
        assert self._producer.flush(PATIENCE_S) == 0

    def require_in(self, store: StateStore) -> None:
        """Wait until a store has all that was sent; it then has that and nothing else."""
        until_written(store, self.config)
        self.require_same(store)

    def require_same(self, store: StateStore) -> None:
        """See that a store has just what was sent."""
        expected = contents_of(self.sent)
        wanted = [Wanted(view, [entity], ()) for view, entity in expected]
        known = {view_key(view): NO_LAYERS for view in VIEWS}
        found = store.read(known, wanted).found
        assert found is not None
        # A batch layer that isn't there doesn't move.
        stream = {key: one.stream for key, (one,) in zip(expected, found, strict=True)}
        different = [key for key in expected if stream[key] != expected[key]]
        assert not different, f"{len(different)} of {len(expected)} entities, {different[:3]}"


def contents_of(updates: Iterable[Update]) -> dict[tuple[str, bytes], Mapping[str, bytes]]:
    """The fields of each entity after some updates."""
    keys = {view.name: view_key(view) for view in VIEWS}
    by_entity: dict[tuple[str, bytes], list[Update]] = {}
    for update in updates:
        key = keys[update.view], str(update.entity).encode()
        by_entity.setdefault(key, []).append(update)
    return {key: newest_fields(some) for key, some in by_entity.items()}


def until_written(store: StateStore, config: Mapping[str, str]) -> None:
    """Wait until a store has everything that is in the topic now, and says so."""
    wanted = {number: end for number, (_, end) in ends(config, FEATURE_UPDATES).items()}
    asked_ms = time.time_ns() // 1_000_000

    def written() -> bool:
        held = store.progress()
        return all(
            number in held
            and held[number].next_offset >= end
            and held[number].current_ms >= asked_ms
            for number, end in wanted.items()
        )

    until(written, "the store has all updates", PATIENCE_S, pause_s=0.02)


class Writing:
    """A writer in a thread."""

    def __init__(self, settings: Settings, views: Collection[str] = ()) -> None:
        self.told: list[str] = []
        self.status: WriterStatus | None = None
        self.report: WriterReport | None = None
        self.error: Exception | None = None
        self._shown = 0
        self._stop = Event()
        self._settings = settings
        self._views = views
        self._thread = Thread(target=self._run, name="writer")
        self._thread.start()

    def looks(self) -> int:
        """How often it has looked what is known of deployments."""
        return self._shown

    def partitions(self) -> int:
        """How many it writes now."""
        return 0 if self.status is None else len(self.status.partitions)

    def ended(self) -> bool:
        """Whether it has come to its end."""
        return not self._thread.is_alive()

    def end(self) -> None:
        """Let it end, and wait for that."""
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert self.ended()

    def _run(self) -> None:
        project = load_project(self._settings)
        if self._views:
            known = {name: view for name, view in project.views.items() if name in self._views}
            project = replace(project, views=known)
        try:
            self.report = run_writer(
                self._settings, project, self._stop, self.told.append, shown=self._show
            )
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def _show(self, status: WriterStatus) -> None:
        self.status = status
        self._shown += 1


@contextmanager
def writing(settings: Settings, views: Collection[str] = ()) -> Iterator[Writing]:
    """A writer in a thread, that has ended without an error when the block ends.

    Args:
        settings: the store, the broker and the project.
        views: the names of those that it knows, unless it knows all.
    """
    writer = Writing(settings, views)
    try:
        yield writer
    finally:
        writer.end()
    assert writer.error is None, writer.error


class WriterProcess:
    """`headrace writer` in a process of its own; signals go to it by its number."""

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [str(Path(sys.executable).with_name("headrace")), "writer", "--json"],
            cwd=home,
            env={**os.environ, "HEADRACE_HOME": str(home), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it without warning."""
        self._process.kill()
        self._process.communicate()

    def end(self) -> dict[str, Any]:
        """End it as Ctrl-C does; its report."""
        self._process.send_signal(signal.SIGINT)
        out, told = self._process.communicate(timeout=PATIENCE_S)
        assert self._process.returncode == 0, told
        found: dict[str, Any] = msgspec.json.decode(out)
        return found


@contextmanager
def writer_process(home: Path, environ: Mapping[str, str]) -> Iterator[WriterProcess]:
    """A process that is gone when the block ends."""
    process = WriterProcess(home, environ)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
