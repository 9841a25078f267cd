"""`headrace maintain`: what has to be done now and then so that nothing grows for ever."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace_orchestration.output import JsonOption, console, print_json, print_table
from headrace_orchestration.session import current_project

app = typer.Typer(no_args_is_help=True, help="Look after tables, topics and checkpoints.")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what there is to do, and do nothing.")]


@app.command()
def lake(dry_run: DryRun = False, as_json: JsonOption = False) -> None:
    """Put small files of the lake's tables together, and delete those that nobody needs.

    No row changes, and others may read and write meanwhile. Files are kept for a week after they
    were replaced, the log for 30 days, unless a table has other properties of Delta for that.
    """
    from headrace_batch.upkeep import keep_up
    from headrace_batch.warehouse import Warehouse
    from headrace_features.online.live import live_project

    settings, project = current_project()
    views = [*project.views.values(), *live_project(settings, project).views.values()]
    warehouse = Warehouse.of(settings)
    done = list(keep_up(warehouse, project.sources.values(), views, dry_run=dry_run))
    if as_json:
        print_json(done)
        return
    print_table(
        "what there is to do" if dry_run else None,
        ("table", "files merged", "days left", "deleted", "MB", "commits"),
        [
            (
                one.table,
                one.put_together,
                one.left_days,
                one.deleted,
                round(one.deleted_bytes / 1e6, 1),
                one.commits,
            )
            for one in done
        ],
    )
    if any(one.left_days for one in done):
        console().print(
            "days are left as they are until headrace materialize has taken in what came of them"
        )
