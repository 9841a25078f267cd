"""`headrace versions`, `promote` and `rollback`: versions side by side, and which one is served."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from headrace_orchestration.output import (
    JsonOption,
    console,
    print_json,
    print_table,
    say,
    status,
)
from headrace_orchestration.session import current_project

if TYPE_CHECKING:
    from headrace_orchestration.versions.promotion import Promotion

app = typer.Typer(
    no_args_is_help=True, help="Look at the versions that are kept side by side; drop one."
)

View = Annotated[str, typer.Argument(help="The view.")]
Version = Annotated[int, typer.Option("--version", min=1, help="The version to serve.")]
Accept = Annotated[
    list[str] | None,
    typer.Option(
        "--accept",
        help="A feature whose values may differ from those that are served, or that may be gone,"
        " VIEW:FEATURE if it is of another view; again for more.",
    ),
]
Namespace = Annotated[str, typer.Argument(help="What `headrace versions list` calls it.")]
Hash = Annotated[bool, typer.Option("--hash", help="Also hash the state of each view online.")]


def promote(
    view: View, version: Version, accept: Accept = None, as_json: JsonOption = False
) -> None:
    """Serve another version of a view: one step for readers, and one for decisions and alerts.

    All views of its namespace are served with it. They have to have caught up with the topics, and
    to say what is served says, and batch, but for features whose differences are accepted by name.
    What was served stays warm.
    """
    from headrace_features.feast_plugin import repository
    from headrace_features.online.live import live_project
    from headrace_orchestration.versions.comparison import accepted_features, require_parity
    from headrace_orchestration.versions.promotion import require_declared, require_ready, switch
    from headrace_orchestration.versions.replaying import namespace_of

    settings, project = current_project()
    namespace = namespace_of(view, version)
    with status("headrace promote") as told:
        require_declared(settings, project, namespace)
        both = [project, live_project(settings, project)]
        may_differ = accepted_features(both, view, accept or ())
        ready = require_ready(settings, project, namespace)
        if ready is not None:
            require_parity(settings, project, ready, may_differ, told)
        done = switch(settings, project, namespace, os.environ, told)
        told("register the definitions")
        repository.apply(settings, project)
    _show(done, as_json=as_json)


def rollback(view: View, as_json: JsonOption = False) -> None:
    """Serve again what was served before the last promotion, which stays warm in its turn.

    Rolling back once more goes back further; what was taken back is served again by promote alone.
    """
    from headrace_orchestration.versions.promotion import former_of, is_declared, switch

    settings, project = current_project()
    namespace = former_of(settings, project.view(view).name)
    with status("headrace rollback") as told:
        done = switch(settings, project, namespace, os.environ, told, back=True)
    _show(done, as_json=as_json)
    if not is_declared(settings, project, namespace):
        say(
            "Feast still has the definitions that were taken back: declare again what is served,"
            " and register it with headrace apply"
        )


def _show(done: Promotion, *, as_json: bool) -> None:
    from headrace_features.online.versions import spelled

    if as_json:
        print_json(done)
        return
    serving, former = spelled(done.serving), spelled(done.former)
    console().print(
        f"{serving} is served; {former} stays warm until it is dropped: headrace versions drop"
        f" {done.former or '(first)'!r}",
        soft_wrap=True,
    )


@app.command("list")
def show(with_hash: Hash = False, as_json: JsonOption = False) -> None:
    """List the namespaces: the views of each, which is served, and what its job does."""
    from headrace_orchestration.versions.listing import listed

    settings, project = current_project()
    found = listed(settings, project, hashed=with_hash)
    if as_json:
        print_json(found)
        return
    print_table(
        None,
        ("namespace", "served", "job", "views"),
        [
            (
                one.namespace or "(first)",
                one.serving,
                one.job or "none",
                "\n".join(
                    f"{view.view} version {view.version}" + (f", {view.hash}" if view.hash else "")
                    for view in one.views
                ),
            )
            for one in found
        ],
    )


@app.command("drop")
def drop(namespace: Namespace, as_json: JsonOption = False) -> None:
    """Delete a version that isn't served: its job, its topics and its state online."""
    from headrace_orchestration.versions.dropping import drop_namespace
    from headrace_orchestration.writing import renew_writer

    settings, project = current_project()
    name = "" if namespace == "(first)" else namespace
    with status(f"headrace versions drop {namespace}"):
        drop_namespace(settings, project, name)
    say(f"{namespace} is gone")
    renew_writer(settings, project)
    if as_json:
        print_json({"dropped": name})
