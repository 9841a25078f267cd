"""`headrace init`: a new project that works."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from headrace_orchestration.output import JsonOption, console, invoked, print_json

Name = Annotated[
    str, typer.Argument(help="Of the project, and of the folder that is made right here.")
]


def init(name: Name, as_json: JsonOption = False) -> None:
    """Make a folder with a small working project: definitions, events, a test and a README."""
    from headrace_orchestration.scaffold import create_project

    made = create_project(name, Path.cwd(), time.time_ns() // 1_000_000)
    command = invoked()
    first_steps = [f"cd {name}", f"{command} ingest --file events.jsonl", f"{command} plan"]
    if as_json:
        print_json(
            {
                "folder": made.folder,
                "files": list(made.files),
                "events": made.events,
                "next": first_steps,
            }
        )
        return
    out = console()
    out.print(f"made {made.folder}, with {made.events:,} sample events:")
    for file in made.files:
        out.print(f"  {file}")
    out.print("run next, and then go on with README.md:")
    for step in first_steps:
        out.print(f"  {step}")
