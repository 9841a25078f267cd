"""`headrace parity`: whether the stream, batch and the oracle say the same."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_orchestration.output import JsonOption, console, print_json, print_table, status
from headrace_orchestration.session import current_project, served_project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace_orchestration.parity.run import Parity

Views = Annotated[
    list[str] | None, typer.Option("--view", help="A view; again for more. Default: all.")
]
SampleSize = Annotated[
    int,
    typer.Option("--sample", min=0, help="Entities of each view held to the oracle, row by row."),
]
Out = Annotated[
    Path | None, typer.Option(help="A file for all differences, one line of JSON for each.")
]
Name = Annotated[str | None, typer.Argument(metavar="[VIEW]", help="A view.")]
VersionsOption = Annotated[
    str | None,
    typer.Option(
        help="Two versions of the view, such as 1,2, or one to be held to what is served: compare"
        " what they give online."
    ),
]
_SHOWN = 10
_BOTH = 2


def parity(  # noqa: PLR0913, PLR0917 - one for each option
    name: Name = None,
    versions: VersionsOption = None,
    view: Views = None,
    sample: SampleSize = 200,
    out: Out = None,
    as_json: JsonOption = False,
) -> None:
    """Compare what the stream emitted with batch and the oracle; list every difference.

    With --versions: whether two versions of a view give the same values online, and those of batch.

    P1: the final state is that of the same events in any order. P2: each decision has the values
    of the events that had arrived. P3: each has the value that batch gives, or a reason why not.
    Ends with an error if anything is unexplained.
    """
    from headrace_orchestration.parity.fetching import fetch
    from headrace_orchestration.parity.run import compare
    from headrace_schemas.errors import HeadraceError
    from headrace_streaming.kafka.clients import kafka_config

    if versions is not None:
        _compare(name, versions, as_json=as_json)
        return
    view = [*([name] if name else ()), *(view or ())]
    settings, project = served_project()
    names = [project.view(name).name for name in view] if view else list(project.views)
    with status("headrace parity") as told:
        recording = fetch(
            kafka_config(settings),
            project,
            names,
            lambda topic, count: told(f"read {count:,} records of {topic}"),
        )
        found = compare(recording, names, sample, told)
        if out is not None:
            told(f"write {out}")
            _write(found, out)
    if as_json:
        print_json(_described(found))
    else:
        _show(found, out)
    if found.unexplained:
        raise HeadraceError(
            f"{found.unexplained:,} differences or faults have no explanation",
            hint="headrace parity --out FILE writes all",
        )


def _compare(name: str | None, versions: str, *, as_json: bool) -> None:
    from headrace_features.online.live import live_project
    from headrace_orchestration.versions.comparison import compare_versions
    from headrace_schemas.errors import ConfigurationError, HeadraceError

    numbers = versions.split(",")
    if name is None or not all(one.isdecimal() for one in numbers) or len(numbers) > _BOTH:
        raise ConfigurationError(
            f"--versions {versions}: expected a view and one or two of its versions",
            hint="such as: headrace parity card_activity --versions 1,2",
        )
    settings, project = current_project()
    if len(numbers) < _BOTH:
        served = live_project(settings, project).view(name).version
        numbers = [str(served), *numbers]
    first, second = map(int, numbers)
    with status("headrace parity") as told:
        found = compare_versions(settings, project, name, first, second, told)
    if as_json:
        print_json(found)
    else:
        print_table(
            f"{found.rows:,} entities of {name}, version {found.second}",
            ("feature", f"unlike version {found.first}", "unlike batch", "incomplete"),
            [
                (
                    one.feature,
                    "new" if one.unlike_first is None else one.unlike_first,
                    one.unlike_batch,
                    one.incomplete,
                )
                for one in found.features
            ]
            + [(name, "removed", "", "") for name in found.removed],
        )
        for one in found.differences[:_SHOWN]:
            console().print(
                f"{one.feature} of {one.entity}: version {found.first} has {one.first}, version"
                f" {found.second} {one.second}, batch {one.batch}",
                soft_wrap=True,
            )
    if found.unlike:
        raise HeadraceError(
            f"version {found.second} of {name} differs in {', '.join(found.unlike)}",
            hint="what is meant to differ: headrace promote --accept FEATURE",
        )


def _write(found: Parity, out: Path) -> None:
    with out.open("w", encoding="utf-8") as file:
        for line in found.lines():
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _described(found: Parity) -> dict[str, Any]:
    return {
        "unexplained": found.unexplained,
        "modes": found.modes,
        "events": found.events,
        "bad": found.bad,
        "decided": found.decided,
        "duplicates": found.duplicates,
        "waiting": found.waiting,
        "no_longer_comparable": found.gone,
        "from_lake": found.from_lake,
        "promises": [
            {
                "promise": one.promise,
                "decisions": one.state.decisions.name,
                "view": one.state.view.name,
                "rows": one.rows,
                "equal": one.equal,
                "explained": {str(why): n for why, n in one.reasons.items() if why != _NOTHING},
                "unexplained": one.unexplained,
            }
            for one in found.outcomes
        ],
        "oracle": [
            {
                "decisions": one.state.decisions.name,
                "view": one.state.view.name,
                "entities": one.entities,
                "rows": one.rows,
                "unlike": one.unlike,
            }
            for one in found.samples
        ],
        "findings": found.findings,
        "first_differences": list(islice(found.lines(), _SHOWN)),
    }


_NOTHING = "unexplained"


def _show(found: Parity, out: Path | None) -> None:
    con = console()
    for told in _accounted(found):
        con.print(told)
    rows: list[tuple[object, ...]] = [
        (
            one.promise,
            one.state.label,
            one.rows,
            one.equal,
            "\n".join(f"{why}: {n:,}" for why, n in one.reasons.items() if why != _NOTHING),
            one.unexplained,
        )
        for one in found.outcomes
    ]
    rows.extend(
        (
            "P2 by the oracle",
            f"{one.state.label}, {one.entities:,} entities",
            one.rows,
            one.rows - one.unlike,
            "",
            one.unlike,
        )
        for one in found.samples
    )
    print_table(
        None, ("promise", "decisions: view", "rows", "equal", "explained", "unexplained"), rows
    )
    for finding in islice(found.findings, _SHOWN):
        con.print(f"{finding.fault}: {finding.where}, {finding.event}: {finding.told}")
    if len(found.findings) > _SHOWN:
        con.print(f"… and {len(found.findings) - _SHOWN:,} more")
    _show_differences(found, out)


def _accounted(found: Parity) -> Iterator[str]:
    """What was read, and what of it is no decision."""
    modes = ", ".join(dict.fromkeys(found.modes.values()))
    read = ", ".join(f"{rows:,} {name}" for name, rows in found.events.items())
    made = ", ".join(f"{rows:,} decisions {name}" for name, rows in found.decided.items())
    yield f"{read} read and {made} made in {modes} mode"
    for name, duplicates in found.duplicates.items():
        if duplicates:
            yield f"{duplicates:,} events were duplicates, and got no decisions {name}"
    for name, bad in found.bad.items():
        if bad:
            yield f"{bad:,} further records of {name} can't be used: headrace deadletters list"
    if found.waiting:
        yield f"{found.waiting:,} events wait for the watermark"
    if found.from_lake:
        yield "the job began with the lake: values that may reach its events are not compared"
    if found.gone:
        yield (
            f"{found.gone:,} decisions are no longer comparable: the broker has deleted what they"
            " are about"
        )


def _show_differences(found: Parity, out: Path | None) -> None:
    con = console()
    every = 0
    unexplained: list[dict[str, Any]] = []
    explained: list[dict[str, Any]] = []
    for line in found.lines():
        every += 1
        kept = unexplained if line["reason"] == _NOTHING else explained
        if len(kept) < _SHOWN:
            kept.append(line)
    for line in [*unexplained, *explained][:_SHOWN]:
        by = f" ({', '.join(line['explained_by'])})" if line["explained_by"] else ""
        con.print(
            f"{line['promise']} {line['view']}:{line['feature']} of {line['entity']} at"
            f" {line['event']}: emitted {line['emitted']}, expected {line['expected']},"
            f" {line['reason']}{by}",
            soft_wrap=True,
        )
    if every > _SHOWN:
        con.print(f"… and {every - _SHOWN:,} more" + ("" if out else ": --out FILE writes all"))
    if out is not None:
        con.print(f"all differences: {out}", soft_wrap=True)
