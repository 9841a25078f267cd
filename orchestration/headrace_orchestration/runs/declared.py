"""The runs of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_orchestration.runs.daily import daily_features
from headrace_orchestration.runs.kappa import kappa_replay
from headrace_orchestration.runs.maintenance import maintenance
from headrace_orchestration.runs.training import training_set

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_orchestration.runs.graph import Graph
    from headrace_schemas.settings import Settings


def runs_of(settings: Settings, project: Project) -> tuple[Graph, ...]:
    """What can be scheduled of a project."""
    training = (training_set(settings, project),) if project.training_sets else ()
    return (
        daily_features(settings, project, project.gates),
        *training,
        kappa_replay(settings, project),
        maintenance(),
    )
