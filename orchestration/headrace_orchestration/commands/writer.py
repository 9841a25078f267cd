"""`headrace writer`: the updates of the stream into the online store."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import typer

from headrace_orchestration.output import JsonOption, console, print_json, print_table, say, status
from headrace_orchestration.session import served_project

if TYPE_CHECKING:
    from headrace_streaming.writer.status import WriterStatus

app = typer.Typer(
    invoke_without_command=True, help="Write the stream's updates into the online store."
)


@app.callback()
def run(context: typer.Context, as_json: JsonOption = False) -> None:
    """Write the stream's updates into the online store until it is interrupted.

    Several share the work, on any machines. `headrace up` runs one.
    """
    if context.invoked_subcommand is not None:
        return
    from threading import Event

    from headrace_streaming.writer.others import other_writers
    from headrace_streaming.writer.run import run_writer

    settings, project = served_project()
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with (
        status(f"write {project.full_name}") as told,
        other_writers(settings, project.namespace, say),
    ):
        done = run_writer(settings, project, stop, say, shown=lambda one: told(_spelled(one)))
    if as_json:
        print_json(done)
        return
    console().print(
        f"{done.updates:,} updates in {done.seconds:.1f} s; {done.refused:,} were older than what"
        f" the store has, {done.undeclared:,} of no view of the project, {done.unreadable:,}"
        " unreadable"
    )


@app.command("status")
def show(as_json: JsonOption = False) -> None:
    """Tell how far the online store is with the stream's updates, and whether a writer runs."""
    from headrace_streaming.writer.report import writer_report

    settings, project = served_project()
    report = writer_report(settings, project)
    if as_json:
        print_json(report)
        return
    print_table(
        None,
        ("partition", "written up to", "lag", "all updates were in, seconds ago"),
        [(str(p.partition), p.next_offset, p.lag, p.current_s) for p in report.partitions],
    )
    lines = [f"a writer {'runs' if report.running else 'does not run'}"]
    if report.embedded is not None:
        own = report.embedded
        lines.append(
            f"that of headrace up has written {own.updates:,} updates, {own.refused:,} of them"
            f" older than what the store has; passed over {own.undeclared:,} of no view of the"
            f" project and {own.unreadable:,} unreadable"
        )
        if own.problem is not None:
            lines.append(f"it waits: {own.problem}")
    elif not report.running:
        lines[0] += "; run: headrace up, or headrace writer"
    console().print("\n".join(lines), soft_wrap=True)


def _spelled(one: WriterStatus) -> str:
    if one.problem is not None:
        return f"waiting: {one.problem}"
    if not one.partitions:
        return "waiting for partitions"
    lag = "unknown" if one.lag is None else f"{one.lag:,}"
    return f"{one.updates:,} updates, {one.rate:,.0f} a second, lag {lag}, {one.refused:,} refused"
