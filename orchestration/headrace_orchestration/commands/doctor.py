"""`headrace doctor`: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from headrace_orchestration.output import JsonOption, console, print_json

if TYPE_CHECKING:
    from headrace_orchestration.diagnosis.diagnose import Diagnosis

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(as_json: JsonOption = False) -> None:
    """Check Python, packages, Java, settings, definitions and stores; fetch and change nothing.

    Ends with an error if something is missing that the settings ask for.
    """
    from headrace_orchestration.diagnosis.diagnose import diagnose

    diagnosis = diagnose(Path.cwd(), os.environ)
    if as_json:
        print_json(
            {
                "problems": diagnosis.problems,
                "checks": diagnosis.checks,
                "settings": diagnosis.settings,
            }
        )
    else:
        _show(diagnosis)
    if diagnosis.problems:
        raise typer.Exit(1)


def _show(diagnosis: Diagnosis) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for check in diagnosis.checks:
        status = Text(str(check.status), style=_STYLES[check.status])
        table.add_row(status, Text(check.name), Text(check.found, overflow="fold"))
        if check.advice:
            table.add_row("", "", Text(f"→ {check.advice}", overflow="fold"))
    out = console()
    out.print(table)
    if diagnosis.settings:
        out.print("\nsettings that are not defaults:")
        for setting in diagnosis.settings:
            line = f"  {setting.name} = {setting.value}  ({setting.source})"
            out.print(line, soft_wrap=True)
    out.print(f"\n{_summary(diagnosis)}")


def _summary(diagnosis: Diagnosis) -> str:
    warnings = sum(check.status == "warning" for check in diagnosis.checks)
    if not diagnosis.problems + warnings:
        return "no problems"
    return f"problems: {diagnosis.problems}, warnings: {warnings}"
