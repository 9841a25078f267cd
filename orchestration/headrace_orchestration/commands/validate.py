"""`headrace validate`: days of tables, held to their gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_orchestration.output import JsonOption, console, print_json, print_table, status
from headrace_orchestration.session import current_project
from headrace_schemas.days import parse_begun_day
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace_batch.quality.verdicts import Verdict

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...",
        help="Sources, views and training sets. Default: all that have a gate.",
        show_default=False,
    ),
]
Day = Annotated[
    str | None, typer.Option("--date", help="The day, UTC. Default: the newest of each table.")
]
Accept = Annotated[
    str | None,
    typer.Option(
        metavar="REASON",
        help="Let the day pass whatever comes of it, and keep why.",
        show_default=False,
    ),
]


def validate(
    name: Names = None, date: Day = None, accept: Accept = None, as_json: JsonOption = False
) -> None:
    """Hold a day of tables to the rules of their gates; build Data Docs that show it.

    The table of a source is that of its events, the table of a view that of its features. Ends with
    the status 65 if a day fails, and else with 78 if a table or a baseline is missing; the others
    are judged all the same. What fails stays out of the batch layers of the online store; an
    acceptance holds as long as the day's rows and the rules stay the same.
    """
    from datetime import UTC, datetime

    from headrace_batch.quality.verdicts import newest_day
    from headrace_batch.quality.verdicts import validate as judged

    settings, project = current_project()
    if accept is not None and (not accept.strip() or date is None or not name):
        raise ConfigurationError(
            "--accept takes a reason, and is for the tables and the day that are named",
            hint="headrace validate NAME --date YYYY-MM-DD --accept REASON",
        )
    now = datetime.now(UTC)
    now_ms = int(now.timestamp() * 1000)
    day = None if date is None else parse_begun_day(date, "--date", now)
    gates = {one: project.find_gate(one) for one in name or project.gates}
    verdicts: list[Verdict] = []
    unjudged: dict[str, ConfigurationError] = {}
    for gate in filter(None, gates.values()):
        with status(f"validate {gate.name}"):
            try:
                asked = day or newest_day(settings, gate)
                verdicts.append(judged(settings, gate, asked, now_ms, accept or ""))
            except ConfigurationError as error:
                unjudged[gate.name] = error
    without = [one for one, gate in gates.items() if gate is None]
    if as_json:
        print_json(
            {
                "verdicts": [_described(one) for one in verdicts],
                "not_judged": [{"of": of, "told": str(error)} for of, error in unjudged.items()],
                "without_gate": without,
            }
        )
    else:
        _show(verdicts, unjudged, without)
    failures = [failure for one in verdicts if (failure := one.failure()) is not None]
    worst = next(iter([*failures, *unjudged.values()]), None)
    if worst is not None:
        raise worst


def _show(
    verdicts: Sequence[Verdict],
    unjudged: Mapping[str, ConfigurationError],
    without: Sequence[str],
) -> None:
    from headrace_batch.quality.measures import bounds, spelled

    out = console()
    for verdict in verdicts:
        if not verdict.rows:
            out.print(f"no rows of {verdict.day} are in {verdict.table}", soft_wrap=True)
    if verdicts:
        print_table(
            None,
            ("table", "day", "rule", "measured", "expected", "", "verdict"),
            [
                (
                    verdict.table,
                    verdict.day,
                    one.rule,
                    spelled(one.value),
                    bounds(one),
                    f"{one.unit}: {one.told}",
                    "passes" if kept else "FAILS",
                )
                for verdict in verdicts
                for one, kept in zip(verdict.measures, verdict.kept, strict=True)
            ],
        )
    for verdict in verdicts:
        if verdict.broken and verdict.accepted:
            out.print(
                f"{verdict.table} of {verdict.day} is let pass: {verdict.accepted}", soft_wrap=True
            )
    if verdicts:
        out.print(f"Data Docs: {verdicts[-1].docs}", soft_wrap=True)
    for name, error in unjudged.items():
        out.print(f"{name} is not judged: {error.message}", soft_wrap=True)
    for name in without:
        out.print(f"{name} has no gate")
    if not verdicts and not unjudged and not without:
        out.print("no gate is declared: see Gate in the README")


def _described(verdict: Verdict) -> dict[str, Any]:
    return {
        "of": verdict.of,
        "table": verdict.table,
        "date": verdict.day,
        "rows": verdict.rows,
        "passes": verdict.passes,
        "accepted": verdict.accepted or None,
        "docs": verdict.docs,
        "rules": verdict.rules,
    }
