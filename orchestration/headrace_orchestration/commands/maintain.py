"""`headrace maintain`: what has to be done now and then so that nothing grows for ever."""

from __future__ import annotations

import time
from datetime import UTC, datetime
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
            "days are left as they are until views have been brought up to what came of them:"
            " headrace materialize, headrace run daily"
        )


@app.command()
def topics(dry_run: DryRun = False, as_json: JsonOption = False) -> None:
    """Delete the records of the sources' topics that nobody needs any more.

    Those are in the lake, no window reaches them, and all groups of consumers have read them. Of
    what the lake lacks it tells when the broker begins to delete it.
    """
    from headrace_orchestration.topic_upkeep import keep_up_topics

    settings, project = current_project()
    done = list(keep_up_topics(settings, project, _now_ms(), dry_run=dry_run))
    if as_json:
        print_json(done)
        return
    if not done:
        console().print("there are no topics: no broker is named, and none was started by up")
        return
    print_table(
        "what there is to do" if dry_run else None,
        ("topic", "records", "deleted", "others kept for", "not in the lake", "which expire"),
        [
            (
                one.topic,
                one.records,
                one.deleted,
                one.kept_for,
                one.lacking,
                None if one.expires_ms is None else _day(one.expires_ms),
            )
            for one in done
        ],
    )
    if any(one.lacking for one in done):
        console().print("headrace ingest --from-kafka brings what is not in the lake")


@app.command()
def checkpoints(dry_run: DryRun = False, as_json: JsonOption = False) -> None:
    """Delete checkpoints and savepoints in the home that nothing goes on from.

    Those of jobs that the cluster knows and those that a next deployment goes on from stay, with
    all that they refer to; others for 7 days, savepoints for 30.
    """
    from headrace_streaming.job.deployment import alone
    from headrace_streaming.job.state_folders import delete_over, state_folders

    settings, project = current_project()
    now_ms = _now_ms()
    with alone(settings.home, project):
        found = state_folders(settings)
        over = [one for one in found if one.is_over(now_ms)]
        if not dry_run:
            delete_over(over, now_ms)
    if as_json:
        print_json(over)
        return
    kept = len(found) - len(over)
    freed = sum(one.size for one in over) / 1e6
    console().print(
        f"{len(over)} {'to be deleted' if dry_run else 'deleted'}, {freed:,.1f} MB; {kept} stay"
    )
    for one in over:
        console().print(f"{one.kind} {one.path}, last written {_day(one.changed_ms)}")


@app.command()
def report(as_json: JsonOption = False) -> None:
    """Tell how large tables, online store, topics and checkpoints are."""
    from headrace_orchestration.state_report import state_report

    found = state_report(*current_project())
    if as_json:
        print_json(found)
        return
    print_table(
        "tables",
        ("table", "rows", "files", "MB", "MB in all", "commits"),
        [(t.table, t.rows, t.files, _mb(t.size), _mb(t.stored), t.commits) for t in found.tables],
    )
    print_table(
        "online store",
        ("view", "version", "namespace", "layer", "entities", "fields", "MB"),
        [
            (v.view, v.version, v.namespace or None, v.layer, v.entities, v.fields, _mb(v.size))
            for v in found.online
        ],
    )
    if found.topics:
        print_table(
            "topics",
            ("topic", "records", "MB"),
            [(t.topic, t.records, None if t.size is None else _mb(t.size)) for t in found.topics],
        )
    if found.checkpoints:
        print_table(
            "checkpoints and savepoints",
            ("folder", "kind", "MB", "needed by", "last written"),
            [
                (one.path.name, one.kind, _mb(one.size), one.needed_by, _day(one.changed_ms))
                for one in found.checkpoints
            ],
        )
    for one in found.missing:
        console().print(f"not looked at: {one}", soft_wrap=True)


def _mb(size: int) -> float:
    return round(size / 1e6, 1)


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
