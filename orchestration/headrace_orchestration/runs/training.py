"""The run that makes the declared training sets of a day.

spine → features as of each of its rows → gate → shards, verified and published
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_features.definitions.on_demand import read_for
from headrace_orchestration.runs.assets import rows_of, shards_of, spine_of, table_of
from headrace_orchestration.runs.daily import DAILY_CRON, is_submitted
from headrace_orchestration.runs.graph import BUSY, DATE, Graph, Task

if TYPE_CHECKING:
    from headrace_features.definitions.training_sets import TrainingSet
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

TRAINING = "training_set"
_DUE_S = 12 * 3_600
_LONG_S = 8 * 3_600


def training_set(settings: Settings, project: Project) -> Graph:
    """What is done for each day, of every declared set.

    Args:
        settings: engine, and where things are.
        project: the sets, and which of them have a gate.
    """
    return Graph(
        name=TRAINING,
        tells="Make the training sets as of the end of a day, and publish their shards.",
        cron=DAILY_CRON,
        is_daily=True,
        due_s=_DUE_S,
        tasks=tuple(
            task
            for one in project.training_sets.values()
            for task in _made(settings, one, is_gated=one.name in project.gates)
        ),
    )


def _made(settings: Settings, declared: TrainingSet, *, is_gated: bool) -> list[Task]:
    name = declared.name
    labelled = dict.fromkeys((declared.events, declared.labelling))
    views = [one.view for one in read_for(declared.service.asked)]
    spine, rows = spine_of(settings, name), rows_of(settings, name)
    steps = [
        Task(
            name=f"spine_{name}",
            command=("training", "spine", name, "--date", DATE),
            tells=f"Find the events of {declared.events.name} that are labelled by the end of the"
            " day. Tried again until they have come.",
            reads=tuple(table_of(settings, source) for source in labelled),
            writes=(spine,),
        ),
        Task(
            name=f"features_{name}",
            command=("training", "features", name, "--date", DATE),
            tells="Give each of them the features that it would have got at its time.",
            after=(f"spine_{name}",),
            slots=BUSY,
            timeout_s=_LONG_S,
            reads=(spine, *dict.fromkeys(table_of(settings, view.source) for view in views)),
            writes=(rows,),
            on_spark=is_submitted(settings),
        ),
    ]
    if is_gated:
        steps.append(
            Task(
                name=f"validate_{name}",
                command=("validate", name),
                tells=f"Hold the newest day of {name} to its rules: no shards are published of a"
                " set whose newest day breaks them.",
                after=(steps[-1].name,),
                reads=(rows,),
            )
        )
    shards = Task(
        name=f"shards_{name}",
        command=("training", "shards", name, "--date", DATE),
        tells="Write its shards, check them, compute some of their rows anew, and publish them."
        " Readers have the former ones until then.",
        after=(steps[-1].name,),
        slots=BUSY,
        timeout_s=_LONG_S,
        reads=(rows,),
        writes=(shards_of(settings, name),),
        on_spark=is_submitted(settings),
    )
    return [*steps, shards]
