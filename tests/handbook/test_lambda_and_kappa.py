"""The published transactions day by day: batch and stream together, and a replay of the stream."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from conftest import SPARK
from headrace_batch.days import begins_ms, last_whole_day
from headrace_batch.ingest.topic_run import ingest_topics
from headrace_batch.materialize import materialize_view
from headrace_features import FeatureView, oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.fraud import definitions as fraud
from headrace_features.kernel.compute import compute
from headrace_features.kernel.prepare import Spine
from headrace_features.online.live import project_in
from headrace_features.online.served import Query, ServedView, ViewQuery, view_key
from headrace_features.online.serving import Server
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_features.online.versions import read_versions
from headrace_features.oracle import SpineRow
from headrace_features.project import Project, load_project
from headrace_orchestration.event_records import EventRecords
from headrace_orchestration.file_records import file_records
from headrace_orchestration.versions.replaying import await_online, follow
from headrace_schemas.settings import Settings, load
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.sender import send
from histories import bits
from lakes import unwatched
from streams import headrace

pytestmark = [pytest.mark.handbook, pytest.mark.timeout(7_200), pytest.mark.usefixtures("spark")]

FIRST = date(2018, 4, 1)
#: After so many days, which fill the longest window and its delay, the replay begins.
BEFORE = int(os.environ.get("HEADRACE_HANDBOOK_BEFORE", "38"))
#: So many days are then served by both, and looked at.
DAYS = int(os.environ.get("HEADRACE_HANDBOOK_DAYS", "1"))
#: One card in so many takes part.
SHARE = int(os.environ.get("HEADRACE_HANDBOOK_SHARE", "4"))
SAMPLE = 40
REPLAYED = "card_activity-v2"

#: By entity, its values in a form where equal means the same bits.
Values = dict[str, list[object]]


def probes(day: int) -> Iterator[int]:
    """The moments of a day at which values are looked at; the day before is whole at the first."""
    begin_ms = begins_ms(FIRST) + day * DAY_MS
    for hours in (1.5, 13, 21.25):
        yield begin_ms + int(hours * HOUR_MS)


@dataclass
class Run:
    """Both architectures on one broker: events come as they became known, up to a moment."""

    settings: Settings
    folder: Path
    project: Project
    events: EventRecords
    sent_ms: int = 0

    def headrace(self, *arguments: str) -> None:
        headrace(self.settings.home, *arguments, folder=self.folder)

    def send_until(self, time_ms: int) -> None:
        """Let everything come that was known by a moment and isn't there yet."""
        some = []
        for source, table in self.events.events:
            known = table[source.available_at or source.event_time]
            between = pc.and_(pc.greater(known, self.sent_ms), pc.less_equal(known, time_ms))
            some.append((source, table.filter(between)))
        send(kafka_config(self.settings), EventRecords(some, self.events.keys))
        self.sent_ms = time_ms

    def boundaries(self, which: int) -> dict[str, int | None]:
        """By view where its batch layer ends, ms UTC: served with the stream's, or the replay's."""
        views = self.both()[which].views
        keys = {name: view_key(view) for name, view in views.items()}
        layers = layers_of(open_store(self.settings), [*keys.values()])
        batches = {name: layers[key].batch for name, key in keys.items()}
        return {name: one.boundary_ms if one else None for name, one in batches.items()}

    def ingest(self) -> None:
        ingest_topics(self.settings, self.project, kafka_config(self.settings))

    def move_boundaries(self, day: date) -> None:
        """Bring the batch layers up to a day, or as far as their sources are whole."""
        for view in self.project.views.values():
            whole = last_whole_day(self.settings, view.source, streamed=True)
            if whole is not None:
                last = min(day, whole)
                materialize_view(self.settings, view, last, unwatched, streamed=True)

    def known(self, view: FeatureView) -> pa.Table:
        """The events of a view that have come."""
        ((source, table),) = (one for one in self.events.events if one[0] == view.source)
        return table.filter(
            pc.less_equal(table[source.available_at or source.event_time], self.sent_ms)
        )

    def both(self) -> tuple[Project, Project]:
        """The definitions that batch and stream serve together, and those of the replay."""
        _, versions = read_versions(open_store(self.settings))
        return self.project, project_in(versions, REPLAYED, self.project)

    def probe(self, chance: random.Random) -> int:
        """See that all entities have the same values in both; returns how many values."""
        for project in self.both():
            follow(self.settings, project, lambda _: None)
            await_online(self.settings, project, lambda _: None)
        return sum(
            self._require_the_same([project.views[name] for project in self.both()], chance)
            for name in self.project.views
        )

    def _require_the_same(self, views: list[FeatureView], chance: random.Random) -> int:
        view = views[0]
        events = self.known(view)
        keys = events[view.entity.join_key].unique().to_pylist()
        expected = self._computed(view, events, keys)
        for one in views:
            found = self._served(one, keys)
            unlike = [key for key in keys if found[key] != expected[key]]
            assert not unlike, (view_key(one), self.sent_ms, unlike[:5])
        some = chance.sample(keys, min(SAMPLE, len(keys)))
        theirs = events.filter(pc.is_in(events[view.entity.join_key], pa.array(some)))
        spine = [SpineRow(key, self.sent_ms) for key in some]
        for key, row in zip(some, oracle.values(view, theirs.to_pylist(), spine), strict=True):
            assert list(map(bits, row.values())) == expected[key], (view.name, self.sent_ms, key)
        return len(keys) * len(view.feature_names)

    def _computed(self, view: FeatureView, events: pa.Table, keys: list[str]) -> Values:
        """What the kernel says of all entities."""
        spine = Spine(
            keys=pa.chunked_array([keys], events[view.entity.join_key].type),
            times_ms=pa.chunked_array([np.full(len(keys), self.sent_ms, np.int64)]),
            current=None,
        )
        columns = [column.to_pylist() for column in compute(view, events, spine).values()]
        rows = (list(map(bits, row)) for row in zip(*columns, strict=True))
        return dict(zip(keys, rows, strict=True))

    def _served(self, view: FeatureView, keys: list[str]) -> Values:
        """What the online store says of all entities, nothing of which is incomplete."""
        reader = Server(open_store(self.settings), as_given=True)
        queries = [Query(key, self.sent_ms) for key in keys]
        (answered,) = reader.read([ViewQuery(ServedView(view, view.feature_names), queries)])
        assert not any(any(one.incomplete or ()) for one in answered.answers), view_key(view)
        rows = (list(map(bits, one.values)) for one in answered.answers)
        return dict(zip(keys, rows, strict=True))


@pytest.fixture
def run(handbook: Path, tmp_path: Path) -> Iterator[Run]:
    """A stream of a project with the built-in definitions, before any event has come."""
    folder, home = tmp_path / "again", tmp_path / "home"
    folder.mkdir()
    (folder / "headrace.toml").write_text(
        '[project]\nname = "again"\ndefinitions = ["fraud_again"]\n'
    )
    shutil.copy(Path(fraud.__file__), folder / "fraud_again.py")
    settings = load(folder, {**os.environ, **SPARK, "HEADRACE_HOME": str(home)})
    project = load_project(settings)
    place = str(handbook / "transactions.parquet")
    records = file_records(settings, project, place, file_format="handbook").records
    started = Run(settings, folder, project, of_some_cards(records))
    try:
        started.headrace("up")
        started.headrace("stream", "deploy")
        yield started
    finally:
        started.headrace("down")


def of_some_cards(records: EventRecords) -> EventRecords:
    """The transactions of some cards, and their labels."""
    ((_, transactions),) = (one for one in records.events if one[0].name == "transactions")
    some = transactions["card_id"].unique().to_pylist()[::SHARE]
    ids = transactions.filter(pc.is_in(transactions["card_id"], pa.array(some)))["transaction_id"]
    chosen = [
        (source, table.filter(pc.is_in(table["transaction_id"], ids)))
        for source, table in records.events
    ]
    return EventRecords(chosen, records.keys)


def declare_second(folder: Path) -> None:
    """The same meaning under a new version, of the stream alone: both have to say the same."""
    with (folder / "headrace.toml").open("a") as settings:
        settings.write('[project.modes]\ncard_activity = "kappa"\nterminal_risk = "kappa"\n')
    place = folder / "fraud_again.py"
    text = place.read_text()
    assert text.count('name="card_activity",\n    version=1,') == 1
    place.write_text(text.replace("version=1", "version=2", 1))


def test_a_lambda_run_and_a_kappa_replay_serve_the_oracle_s_values_at_every_probe(run: Run) -> None:
    chance = random.Random(1)
    begin_ms = begins_ms(FIRST)
    run.send_until(begin_ms + BEFORE * DAY_MS + HOUR_MS)
    follow(run.settings, run.project, lambda _: None)
    run.ingest()
    for day in range(BEFORE):
        run.move_boundaries(FIRST + timedelta(day))
    declare_second(run.folder)
    replay = ("replay", "card_activity", "--to-version", "2")
    run.headrace(*replay)
    assert run.boundaries(1) == {"card_activity": None, "terminal_risk": None}
    compared = 0
    for day in range(BEFORE, BEFORE + DAYS):
        for number, time_ms in enumerate(probes(day)):
            run.send_until(time_ms)
            compared += run.probe(chance)
            if number == 0:
                run.ingest()
                run.move_boundaries(FIRST + timedelta(day - 1))
                assert run.boundaries(0)["card_activity"] == begins_ms(FIRST + timedelta(day))
                compared += run.probe(chance)
    # All of it at once says the same as day by day.
    run.headrace("versions", "drop", REPLAYED)
    run.headrace(*replay)
    compared += run.probe(chance)
    assert compared > 100_000 * DAYS / SHARE
