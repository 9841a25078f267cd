"""The demonstration: every step of the batch path on one set of transactions."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from headrace_orchestration.session import current_settings
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.setting_table import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace_features.engines import Engine
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

#: Marks a folder as the demonstration's own, which it may empty.
_MARK = ".headrace-demo"
#: Of the user's environment only these settings hold: where data lies is the demonstration's own.
_KEPT_SECTIONS = ("engine", "spark")
#: A card is worth a look at if it was used at least so often in the thirty days before.
_ENOUGH_EVENTS = 15
_DAY_MS = 86_400_000
_SERVICE = "fraud"
#: Features of the story, in the order in which they are read best.
_SHOWN = {
    "card_activity": (
        "count_1d",
        "count_30d",
        "amount_minor_mean_1d",
        "amount_minor_mean_30d",
        "amount_minor_stddev_30d",
        "country_distinct_1d",
    ),
    "terminal_risk": ("count_30d_delayed_7d", "is_fraud_mean_30d_delayed_7d"),
}

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
class Story:
    """The features of one card around a fraud: by view and name, a value for each moment."""

    card: str
    terminal: str
    transaction: str
    moments: tuple[str, ...]
    features: Mapping[str, Mapping[str, Sequence[object]]]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What was done, what is worth a look, and what to try next."""

    home: Path
    steps: tuple[Step, ...]
    story: Story | None
    next_commands: tuple[str, ...]


def demonstrate(  # noqa: PLR0913 - one for each option of the command
    transactions: Path | None,
    file_format: str | None,
    *,
    cards: int,
    days: int,
    seed: int,
    stage: Stage,
) -> Demonstration:
    """Run every step in the demonstration's own folder and tell what came out.

    Args:
        transactions: a file to use instead of generated transactions.
        file_format: its format; by its ending if not given.
        cards, days, seed: what to generate.
        stage: shows one step going on.
    """
    from headrace_features.engines import load_engine
    from headrace_features.project import load_project

    settings = _own_settings()
    project = load_project(settings)
    engine = load_engine(settings.engine.default, settings)
    steps = [
        *_events(settings, project, transactions, file_format, (cards, days, seed), stage),
        *_batch(settings, project, engine, stage),
    ]
    with stage("find a fraud"):
        story = _story(settings, project, engine)
    steps.append(_online(settings, story, stage))
    return Demonstration(
        settings.home, tuple(steps), story, _next_commands(settings, project, story)
    )


def _own_settings() -> Settings:
    """Settings of an empty folder of the demonstration's own, beside the user's data."""
    settings = current_settings()
    if settings.root is not None:
        message = f"the demonstration shows the built-in project, and {settings.root} is another"
        raise ConfigurationError(message, hint="run it in a folder without headrace.toml above it")
    home = settings.home / "demo"
    if home.exists() and any(home.iterdir()):
        if not (home / _MARK).exists():
            message = f"{home} exists and was not made by the demonstration"
            raise ConfigurationError(message, hint="move it, or set HEADRACE_HOME elsewhere")
        # Aside first: a mark that is deleted before the rest would lock the next run out.
        leaving = home.with_name(f"{home.name}.leaving")
        shutil.rmtree(leaving, ignore_errors=True)
        home.rename(leaving)
        shutil.rmtree(leaving)
    home.mkdir(parents=True, exist_ok=True)
    (home / _MARK).touch()
    # Feast's plugin finds the settings by itself, from the environment like any other process.
    for setting in SETTINGS:
        if setting.section not in _KEPT_SECTIONS:
            os.environ.pop(setting.variable, None)
    os.environ["HEADRACE_HOME"] = str(home)
    return current_settings()


def _events(  # noqa: PLR0913, PLR0917 - what the first step needs
    settings: Settings,
    project: Project,
    transactions: Path | None,
    file_format: str | None,
    size: tuple[int, int, int],
    stage: Stage,
) -> list[Step]:
    from headrace_batch.ingest.run import ingest
    from headrace_orchestration.simulation import simulation_config, write_simulation

    steps = []
    files: list[tuple[Path, str | None, str | None]] = (
        [(transactions, file_format, None)] if (transactions is not None) else []
    )
    if transactions is None:
        cards, days, seed = size
        config = simulation_config(rows=None, cards=cards, days=days, start=None, seed=seed)
        began = perf_counter()
        with stage("simulate") as advance:
            made = write_simulation(settings.home / "simulated", config, advance)
        steps.append(
            Step(
                "simulate",
                made.rows,
                perf_counter() - began,
                _below(settings.home, made.transactions.parent),
            )
        )
        files = [
            (made.transactions, None, "transactions"),
            (made.labels, None, "transaction_labels"),
        ]
    for path, chosen_format, source in files:
        with stage(f"ingest {path.name}") as advance:
            report = ingest(
                settings,
                project,
                str(path),
                file_format=chosen_format,
                source=source,
                on_progress=_rows_only(advance),
            )
        steps.extend(
            Step(
                f"ingest {one.source}",
                one.rows,
                report.seconds,
                _below(settings.home, one.table_uri),
            )
            for one in report.sources
        )
    return steps


def _rows_only(advance: Callable[[int], None]) -> Callable[[int, int | None], None]:
    return lambda done, _: advance(done)


def _batch(settings: Settings, project: Project, engine: Engine, stage: Stage) -> list[Step]:
    from headrace_batch.days import days_with_events
    from headrace_batch.materialize import materialize_view
    from headrace_features.feast_plugin import repository

    steps = []
    for view in project.views.values():
        first, last = days_with_events(settings, view.source)
        with stage(f"backfill {view.name}"):
            report = engine.backfill(view, first, last)
        steps.append(
            Step(
                f"backfill {view.name}",
                report.rows,
                report.seconds,
                _below(settings.home, report.table),
            )
        )
    began = perf_counter()
    with stage("apply to Feast's registry"):
        repository.apply(settings, project)
    steps.append(
        Step("apply", len(project.views), perf_counter() - began, settings.feast.registry.name)
    )
    for view in project.views.values():
        with stage(f"materialize {view.name}") as advance:
            last = days_with_events(settings, view.source)[1]
            made = materialize_view(settings, view, last, advance)
        steps.append(
            Step(f"materialize {view.name}", made.events, made.seconds, settings.online.path.name)
        )
    return steps


def _story(settings: Settings, project: Project, engine: Engine) -> Story | None:
    """The fraud at which the card's amounts stand out most from its own past."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.views import SEPARATOR

    columns = ("transaction_id", "card_id", "terminal_id", "event_time", "is_fraud")
    table = Warehouse.of(settings).read(project.source("transaction_labels").table, columns)
    frauds = table.filter(table["is_fraud"]).drop_columns(["is_fraud"])
    if not frauds.num_rows:
        return None
    features = engine.history(
        project.select(
            [
                "card_activity:count_30d",
                "card_activity:amount_minor_mean_1d",
                "card_activity:amount_minor_mean_30d",
            ]
        ),
        frauds,
    )
    ratio = pc.divide(
        features["card_activity__amount_minor_mean_1d"],
        features["card_activity__amount_minor_mean_30d"],
    )
    enough = pc.greater_equal(features["card_activity__count_30d"], _ENOUGH_EVENTS)
    scores = pc.fill_null(pc.if_else(enough, ratio, 0.0), 0.0).to_numpy()
    chosen = frauds.slice(int(np.argmax(scores)), 1).to_pylist()[0]
    time_ms = chosen["event_time"]
    moments = {
        "just before": time_ms - 1,
        "with it": time_ms,
        "a day later": time_ms + _DAY_MS,
        "8 days later": time_ms + 8 * _DAY_MS,
    }
    spine = pa.table(
        {
            "card_id": [chosen["card_id"]] * len(moments),
            "terminal_id": [chosen["terminal_id"]] * len(moments),
            "event_time": list(moments.values()),
        }
    )
    found = engine.history(project.service(_SERVICE).selections, spine)
    return Story(
        chosen["card_id"],
        chosen["terminal_id"],
        f"{chosen['transaction_id']} at {_utc(time_ms)}",
        tuple(moments),
        {
            view: {name: found[f"{view}{SEPARATOR}{name}"].to_pylist() for name in names}
            for view, names in _SHOWN.items()
        },
    )


def _online(settings: Settings, story: Story | None, stage: Stage) -> Step:
    """Ask Feast for the card's values as of the end of the data, a few times."""
    from headrace_features.feast_plugin.repository import feature_store

    with stage("ask Feast for online values"):
        store = feature_store(settings)
        service = store.get_feature_service(_SERVICE)
        row = {
            "card_id": story.card if story else "card-000000",
            "terminal_id": story.terminal if story else "terminal-000000",
        }
        store.get_online_features(features=service, entity_rows=[row])
        began = perf_counter()
        reads = 100
        for _ in range(reads):
            store.get_online_features(features=service, entity_rows=[row])
    return Step("read online by Feast", reads, perf_counter() - began, "")


def _next_commands(settings: Settings, project: Project, story: Story | None) -> tuple[str, ...]:
    from headrace_batch.days import days_with_events

    card = story.card if story else "card-000000"
    terminal = story.terminal if story else "terminal-000000"
    last = days_with_events(settings, project.source("transactions"))[1]
    asked = f"--service {_SERVICE} --entity card_id={card} --entity terminal_id={terminal}"
    here = Path(sys.argv[0]).parent
    headrace, feast = (_from_here(here / name) for name in ("headrace", "feast"))
    repository = Path("features/feature_repo")
    plain = (f"{feast} -c {repository} feature-views list",) if repository.is_dir() else ()
    return (
        f"export HEADRACE_HOME={_from_here(settings.home)}",
        f"{headrace} features get {asked} --as-of {last}T12:00:00",
        f"{headrace} plan",
        *plain,
        f"{headrace} init my_project     # features of your own events",
        f"{headrace} --help",
    )


def _from_here(path: Path) -> Path:
    """A path as it can be typed in the current directory."""
    absolute = path.absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute


def _below(home: Path, place: Path | str) -> str:
    """A place in the demonstration's folder, as it is written below it."""
    return str(place).removeprefix(f"{home}/")


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
