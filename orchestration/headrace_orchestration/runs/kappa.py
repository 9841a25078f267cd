"""The run that replaces a served version: a replay, its parity, somebody's word, the promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace_orchestration.runs.assets import online_of
from headrace_orchestration.runs.graph import BUSY, Graph, Parameter, Task

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

KAPPA = "kappa_replay"
#: All that a topic has may be a lot.
_REPLAY_S = 24 * 3_600


def kappa_replay(settings: Settings, project: Project) -> Graph:
    """What is done to serve another version of a view, once somebody starts it.

    Args:
        settings: where things are.
        project: the views.
    """
    every = tuple(online_of(settings, view) for view in project.views.values())
    return Graph(
        name=KAPPA,
        tells="Make another version of a view beside the one that is served, compare the two, and"
        " serve it once somebody has agreed.",
        parameters=(
            Parameter("view", "The view.", choices=tuple(project.views)),
            Parameter("version", "The version to serve, as code declares it.", is_number=True),
            Parameter(
                "accept",
                "Features whose values may differ, or that may be gone: VIEW:FEATURE.",
                is_list=True,
            ),
        ),
        tasks=(
            Task(
                name="replay",
                command=("replay", "{view}", "--to-version", "{version}"),
                tells="Take in what the topics have, in a job of its own that goes on with what"
                " comes.",
                slots=BUSY,
                timeout_s=_REPLAY_S,
            ),
            Task(
                name="parity",
                command=("parity", "{view}", "--versions", "{version}", "--json"),
                tells="Compare it with what is served and with batch, entity by entity.",
                after=("replay",),
                slots=BUSY,
                reports=True,
            ),
            Task(
                name="approve",
                tells="Somebody looks at what differs, and agrees or not.",
                after=("parity",),
                approves="parity",
            ),
            Task(
                name="promote",
                command=("promote", "{view}", "--version", "{version}", "{accept}"),
                tells="Serve it: one step for readers, and one for decisions and alerts. Refused if"
                " anything differs that isn't accepted by name.",
                after=("approve",),
                slots=BUSY,
                writes=every,
            ),
        ),
    )
