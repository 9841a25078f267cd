"""What changed definitions need beside being registered, and what that costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_batch.event_files import EventFiles
from headrace_batch.warehouse import Warehouse
from headrace_features.feast_plugin.changes import ChangeKind
from headrace_features.view_modes import ViewMode, view_modes
from headrace_schemas.errors import HeadraceError
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.epochs import deployments
from headrace_streaming.kafka.reading import ends
from headrace_streaming.services import control

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.views import FeatureView
    from headrace_features.feast_plugin.changes import ViewChange
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

#: Events a second on two cores, as the README's figures have them: of a first batch layer, and of
#: a replay.
_LAYER_RATE = 200_000
_REPLAY_RATE = 20_000


@dataclass(frozen=True, slots=True)
class NeededWork:
    """What a new version of a view needs before it has values online.

    Attributes:
        view: its name.
        command: what does it.
        events: how many it has to read.
        seconds: about how long that takes on two cores.
    """

    view: str
    command: str
    events: int
    seconds: float

    @classmethod
    def at_rate(cls, view: str, command: str, events: int, rate: int) -> NeededWork:
        """What takes as long as its events do at a rate."""
        return cls(view, command, events, events / rate)


def needed_work(
    settings: Settings, project: Project, found: Iterable[ViewChange]
) -> list[NeededWork]:
    """What is to be materialized and replayed for views that are new or mean something else.

    What neither lake nor broker has any events for needs nothing, nor do on-demand views.

    Raises:
        ConfigurationError: a table is damaged, or a mode is unknown.
        RetryableError: the lake can't be reached.
    """
    modes = view_modes(settings, project)
    streamed = _streamed(settings, project)
    work = []
    for change in found:
        view = project.views.get(change.view)
        if view is None or change.kind not in {ChangeKind.ADDED, ChangeKind.CHANGED}:
            continue
        held = _in_lake(settings, view.source)
        if modes[view.name] is ViewMode.LAMBDA and held:
            command = f"headrace materialize --view {view.name}"
            work.append(NeededWork.at_rate(view.name, command, held, _LAYER_RATE))
        if streamed:
            command = f"headrace replay {view.name} --to-version {view.version}"
            events = max(_in_topic(settings, view), held)
            work.append(NeededWork.at_rate(view.name, command, events, _REPLAY_RATE))
    return work


def _in_lake(settings: Settings, source: EventSource) -> int:
    warehouse = Warehouse.of(settings)
    if warehouse.find(source.table) is None:
        return 0
    return sum(file.rows for file in EventFiles(warehouse, source).all())


def _in_topic(settings: Settings, view: FeatureView) -> int:
    held = ends(kafka_config(settings), view.source.topic)
    return sum(end - first for first, end in held.values())


def _streamed(settings: Settings, project: Project) -> bool:
    """Whether a stream of the project was deployed, as far as the broker tells."""
    if control.has_no_broker(settings):
        return False
    try:
        return bool(deployments(kafka_config(settings), project.name, None))
    except HeadraceError:
        # One that is down keeps nobody from looking at what has changed.
        return False
