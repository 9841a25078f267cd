"""The steps of the demonstration, each with its throughput."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from headrace_orchestration.demonstration.story import SERVICE

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.engines import Engine
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

Stage = Callable[[str], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True)
class Step:
    """One step with its throughput."""

    name: str
    rows: int
    seconds: float
    written_to: str

    @property
    def rows_per_second(self) -> int:
        """Rows a second; 0 for a step without rows."""
        return round(self.rows / self.seconds) if self.seconds else 0


@dataclass(frozen=True, slots=True)
class Given:
    """A file of events: its format, by its ending if None, and the source that it feeds.

    Attributes:
        source: None for a format that says it itself.
    """

    path: Path
    format: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """How much to generate."""

    cards: int
    days: int
    seed: int


def generate(home: Path, size: Size, stage: Stage) -> tuple[Step, tuple[Given, ...]]:
    """Generate transactions and labels below a folder."""
    from headrace_orchestration.simulation import simulation_config, write_simulation

    config = simulation_config(
        rows=None, cards=size.cards, days=size.days, start=None, seed=size.seed
    )
    began = perf_counter()
    with stage("simulate") as advance:
        made = write_simulation(home / "simulated", config, advance)
    step = Step(
        "simulate", made.rows, perf_counter() - began, _below(home, made.transactions.parent)
    )
    return step, (
        Given(made.transactions, source="transactions"),
        Given(made.labels, source="transaction_labels"),
    )


def take_in(
    settings: Settings, project: Project, files: Iterable[Given], stage: Stage
) -> Iterator[Step]:
    """Ingest files.

    Raises:
        BadRecordError: a source took none of a file's rows.
    """
    from headrace_batch.ingest.run import ingest

    for file in files:
        with stage(f"ingest {file.path.name}") as advance:
            report = ingest(
                settings,
                project,
                str(file.path),
                file_format=file.format,
                source=file.source,
                on_progress=_rows_only(advance),
            )
            failure = report.failure()
            if failure is not None:
                raise failure
        for one in report.sources:
            place = _below(settings.home, one.table_uri)
            yield Step(f"ingest {one.source}", one.rows, report.seconds, place)


def _rows_only(advance: Callable[[int], None]) -> Callable[[int, int | None], None]:
    return lambda done, _: advance(done)


def compute(
    settings: Settings,
    project: Project,
    views: Sequence[FeatureView],
    engine: Engine,
    stage: Stage,
) -> Iterator[Step]:
    """Backfill some views, register all definitions, and materialize those views."""
    from headrace_batch.days import days_with_events
    from headrace_features.feast_plugin import repository

    for view in views:
        first, last = days_with_events(settings, view.source)
        with stage(f"backfill {view.name}"):
            report = engine.backfill(view, first, last)
        place = _below(settings.home, report.table)
        yield Step(f"backfill {view.name}", report.rows, report.seconds, place)
    began = perf_counter()
    with stage("apply to Feast's registry"):
        repository.apply(settings, project)
    registry = settings.feast.registry.name
    yield Step("apply", len(project.views), perf_counter() - began, registry)
    for view in views:
        with stage(f"materialize {view.name}") as advance:
            first, last = days_with_events(settings, view.source)
            made = engine.materialize(view, last, advance)
            start = datetime.combine(first, time(), UTC)
            repository.record_materialization(settings, view.name, start, made.boundary)
        store = settings.online.path.name
        yield Step(f"materialize {view.name}", made.events, made.seconds, store)


def ask(settings: Settings, entities: Mapping[str, object], stage: Stage) -> Step:
    """Ask Feast for the present values of some entities, a few times."""
    from headrace_features.feast_plugin.repository import feature_store

    with stage("ask Feast for online values"):
        store = feature_store(settings)
        service = store.get_feature_service(SERVICE)
        row = dict(entities)
        store.get_online_features(features=service, entity_rows=[row])
        began = perf_counter()
        reads = 100
        for _ in range(reads):
            store.get_online_features(features=service, entity_rows=[row])
    return Step("read online by Feast", reads, perf_counter() - began, "")


def _below(home: Path, place: Path | str) -> str:
    """A place in the demonstration's folder, as it is written below it."""
    return str(place).removeprefix(f"{home}/")
