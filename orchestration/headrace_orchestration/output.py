"""What commands print: tables for people, JSON for programs, progress while work goes on."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

_LONGEST_NAME = 40
#: Columns of what is no terminal, and says of no width of its own: no row is broken there.
_UNBROKEN = 10_000

JsonOption = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def invoked(command: str = "headrace") -> str:
    """What to type to run a command of this installation: its name, or its path off the PATH."""
    here = Path(sys.argv[0]).absolute().with_name(command)
    found = shutil.which(command)
    return command if found is not None and Path(found).absolute() == here else str(here)


def console() -> Console:
    """Where reports for people go."""
    from rich.console import Console

    return Console(highlight=False, markup=False)


def say(line: str) -> None:
    """News while a command goes on, for people: a line on standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=2, default=_plain, ensure_ascii=False)
    sys.stdout.write("\n")


def print_table(
    title: str | None, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """A table; numbers are set right.

    A terminal has it as wide as it is; elsewhere a row is a line, unless COLUMNS says how wide.
    """
    from rich.table import Table

    shown = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        number = all(isinstance(row[index], int | float | None) for row in shown)
        table.add_column(
            column,
            justify="right" if shown and number else "left",
            overflow="fold",
            # What rows are called stays in one piece; a path goes on in the next line.
            no_wrap=index == 0 and all(len(spelled(row[0])) <= _LONGEST_NAME for row in shown),
        )
    for row in shown:
        table.add_row(*(spelled(value) for value in row))
    told = console()
    if not (told.is_terminal or os.environ.get("COLUMNS", "").isdigit()):
        told.width = _UNBROKEN
    told.print(table)


class Branch(NamedTuple):
    """A line of a tree, and what hangs below it."""

    text: str
    below: Sequence[Branch] = ()


def print_tree(tree: Branch) -> None:
    """A tree; no line of it is cut off or broken."""
    for line in (tree.text, *_drawn(tree.below, "")):
        console().print(line, soft_wrap=True)


def _drawn(branches: Sequence[Branch], before: str) -> Iterator[str]:
    for number, branch in enumerate(branches, start=1):
        last = number == len(branches)
        yield f"{before}{'└── ' if last else '├── '}{branch.text}"
        yield from _drawn(branch.below, before + ("    " if last else "│   "))


def print_fields(record: Any) -> None:
    """The fields of a dataclass, a line for each; none is cut off or broken."""
    names = list(record.__dataclass_fields__)
    width = max(map(len, names))
    for name in names:
        shown = spelled(getattr(record, name))
        console().print(f"{name.replace('_', ' '):<{width}}  {shown}", soft_wrap=True)


def spelled(value: object) -> str:
    """A value as people read it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return str(value)


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A line that shows work going on; the value takes the number of rows done so far.

    It goes to standard error, and only where that is a terminal.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    error_console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
        console=error_console,
        transient=True,
        disable=quiet or not error_console.is_terminal,
    ) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def status(label: str) -> Iterator[Callable[[str], None]]:
    """A line that says what is going on; the value takes the news."""
    from rich.console import Console

    error_console = Console(stderr=True, highlight=False, markup=False)
    with error_console.status(label) as shown:
        yield lambda news: shown.update(f"{label}: {news}")


@contextmanager
def stage(label: str, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A step of several: its progress, then a line that it is done."""
    from rich.console import Console

    with progress(label, quiet=quiet) as advance:
        yield advance
    if not quiet:
        Console(stderr=True, highlight=False).print(f"[green]✓[/green] {label}")


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if hasattr(value, "__struct_fields__"):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    return str(value)
