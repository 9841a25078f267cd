"""`headrace apply`: does what `headrace plan` lists, and registers the definitions."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.commands.plan import (
    about,
    described,
    described_baseline,
    described_service,
    planned,
    show,
    show_baselines,
    show_services,
)
from headrace_orchestration.output import JsonOption, console, print_json, progress
from headrace_schemas.counted import counted

if TYPE_CHECKING:
    from headrace_features.engines import MaterializeReport
    from headrace_features.feast_plugin.changes import ViewChange
    from headrace_features.project import Project
    from headrace_orchestration.needed_work import NeededWork
    from headrace_schemas.settings import Settings

Yes = Annotated[bool, typer.Option("--yes", help="Don't ask before work of more than a minute.")]

#: What takes no longer isn't asked for.
_UNASKED_S = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """Work that was done.

    Attributes:
        views: the names of those that have values now, or once they are promoted.
        command: what would have done it.
        events: how many were taken in.
        seconds: how long it took.
    """

    views: tuple[str, ...]
    command: str
    events: int
    seconds: float


def apply(yes: Yes = False, as_json: JsonOption = False) -> None:
    """Do what plan lists for new and changed views, and register the definitions in Feast.

    Readers have the former values until the new ones are there. Where a stream serves a view
    otherwise than it is declared, the declared version is made beside it, and registered by
    promoting it. Interrupted, the same command goes on. To register and do nothing else, there is
    Feast's own command: feast apply.
    """
    from headrace_features.feast_plugin.changes import refuse_silent_changes

    settings, project, found, services, work, served, baselines = planned()
    refuse_silent_changes(found)
    if not as_json:
        show(found, work, served)
        show_services(services)
        show_baselines(baselines)
    _require_consent(work, yes=yes)
    done: list[Done] = []
    layers: list[MaterializeReport] = []
    for one in work:
        began = perf_counter()
        events, reports = _carry_out(settings, project, one, quiet=as_json)
        done.append(Done(one.views, one.command, events, perf_counter() - began))
        layers.extend(reports)
    following = _following(found, work)
    if not following:
        _register(settings, project, layers)
    if as_json:
        print_json(
            [
                *(
                    {
                        **described(one),
                        "done": [made for made in done if one.view in made.views],
                        "next": following,
                    }
                    for one in found
                ),
                *map(described_service, services),
                *map(described_baseline, baselines),
            ]
        )
        return
    for made in done:
        console().print(
            f"done: {made.command} ({counted(made.events, 'event')}, {made.seconds:.1f} s)",
            soft_wrap=True,
        )
    if following:
        console().print("nothing is registered until that is served; what comes next:")
        for line in following:
            console().print(f"    {line}", soft_wrap=True)
        return
    console().print(f"registered in {settings.feast.registry}")
    _tell_of_empty(project, found, work)


def _require_consent(work: Iterable[NeededWork], *, yes: bool) -> None:
    """Ask whether what takes long is to be done; where nobody can be asked, `--yes` has to be said.

    Raises:
        BadParameter: it hasn't been.
    """
    seconds = sum(one.seconds for one in work)
    if yes or seconds <= _UNASKED_S:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"the work takes {about(seconds)}, which has to be confirmed: give --yes, or register"
            " alone: feast apply"
        )
    typer.confirm(f"do this now, which takes {about(seconds)}?", abort=True, err=True)


def _carry_out(
    settings: Settings, project: Project, work: NeededWork, *, quiet: bool
) -> tuple[int, list[MaterializeReport]]:
    """Do one thing; how many events it took in, and the layers that are to be noted by Feast."""
    from headrace_features.online.live import live_project
    from headrace_orchestration.batch_layers import write_layer
    from headrace_orchestration.commands.replay import begin, finish
    from headrace_orchestration.needed_work import WorkKind
    from headrace_orchestration.versions.replaying import EARLIEST

    name = work.views[0]
    if work.kind is WorkKind.REPLAY:
        made = begin(settings, project, name, work.version, EARLIEST)
        return finish(settings, made, name, quiet=quiet).done, []
    view = live_project(settings, project).view(name)
    report = write_layer(settings, view, partial(progress, quiet=quiet))
    return (0, []) if report is None else (report.events, [report])


def _register(settings: Settings, project: Project, layers: Iterable[MaterializeReport]) -> None:
    from headrace_features.feast_plugin import repository
    from headrace_features.online.live import live_project, served_versions
    from headrace_orchestration.commands.materialize import record

    served = served_versions(live_project(settings, project))
    repository.apply(settings, project, served)
    for report in layers:
        record(settings, project.view(report.view), report)


def _following(found: Iterable[ViewChange], work: Sequence[NeededWork]) -> list[str]:
    """The commands after which a version that was made is served: for people to decide."""
    from headrace_orchestration.needed_work import WorkKind

    commands = []
    for one in work:
        if one.kind is WorkKind.REPLAY:
            commands += [
                f"headrace parity {change.view}"
                f" --versions {change.registered_version},{change.version}"
                for change in found
                if change.view in one.views and change.registered_version is not None
            ]
            commands.append(f"headrace promote {one.views[0]} --version {one.version}")
    return commands


def _tell_of_empty(
    project: Project, found: Iterable[ViewChange], work: Sequence[NeededWork]
) -> None:
    """Tell which new views have no values: those that neither lake nor stream has events for."""
    made = {name for one in work for name in one.views}
    empty = [
        change.view
        for change in found
        # What is computed on demand has no values to be put anywhere.
        if change.kind in {"added", "changed"} and change.view in {*project.views} - made
    ]
    if empty:
        told = f"values online of {', '.join(empty)} come from a stream, or from what is ingested"
        console().print(f"{told}: headrace stream deploy, headrace materialize", soft_wrap=True)
