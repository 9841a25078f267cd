"""`headrace features`: what an entity's features are, or were."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_orchestration.commands.backfill import EngineName
from headrace_orchestration.output import JsonOption, console, print_json, print_table, progress
from headrace_orchestration.session import current_project
from headrace_schemas.columns import ColumnType
from headrace_schemas.counted import counted
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from headrace_features.definitions.on_demand import AnySelection
    from headrace_features.definitions.views import Selection
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

_FORMS = {"--entity": "join_key=value", "--request": "column=value"}

app = typer.Typer(help="What an entity's features are, or were.", no_args_is_help=True)

Service = Annotated[str | None, typer.Option(help="A feature service.")]
References = Annotated[
    list[str] | None,
    typer.Option("--feature", help="view:feature, or a view; again for more."),
]
Entities = Annotated[
    list[str], typer.Option("--entity", help="join_key=value, such as card_id=card-000001.")
]
Request = Annotated[
    list[str] | None,
    typer.Option(help="column=value that on-demand features take, such as amount_minor=1234."),
]
AsOf = Annotated[
    str | None, typer.Option(help="The time asked for, ISO text or ms UTC. Default: now.")
]
Current = Annotated[
    str | None, typer.Option(help="Dedup key of the event being decided, to leave it out.")
]
Spine = Annotated[str, typer.Option(help="Parquet file or URL with the join keys and event_time.")]
Out = Annotated[str, typer.Option(help="Parquet file or URL for the rows with their features.")]


@app.command("get")
def get(  # noqa: PLR0913, PLR0917 - one for each option
    entity: Entities,
    service: Service = None,
    feature: References = None,
    request: Request = None,
    as_of: AsOf = None,
    current: Current = None,
    as_json: JsonOption = False,
) -> None:
    """Values from the online store as Feast gives them, now or as of a time it still holds."""
    from headrace_features.definitions.on_demand import read_for
    from headrace_features.online.query_times import AS_OF, CURRENT
    from headrace_features.online.reader import FeatureReader

    settings, project = current_project()
    selections = project.select(feature or (), service)
    read = read_for(selections)
    keys = _keys(entity, read)
    brought = _brought(request or (), selections)
    _require_known(settings, project, selections, read)
    row = {**keys, **brought}
    if as_of is not None:
        row[AS_OF] = int(as_of) if re.fullmatch("-?[0-9]+", as_of) else as_of
    if current is not None:
        row[CURRENT] = current
    # Not by Feast, which says the same: it takes seconds to import.
    reader = FeatureReader.of(settings, project, *(feature or ()), service=service)
    (found,) = reader.read([row])
    values, statuses = found.to_dict(), found.statuses
    if as_json:
        given = {"entity": keys, "request": brought} if brought else {"entity": keys}
        print_json({**given, "features": values, "statuses": statuses})
        return
    print_table(None, ("feature", "value"), list(values.items()))
    for selection in selections:
        _tell_what_lacks(selection, keys, values, statuses)


@app.command("history")
def history(  # noqa: PLR0913, PLR0917 - one for each option
    spine: Spine,
    out: Out,
    service: Service = None,
    feature: References = None,
    engine: EngineName = None,
    as_json: JsonOption = False,
) -> None:
    """The rows of a spine with each feature as of the row's own time."""
    from time import perf_counter

    from headrace_features.engines import load_engine

    settings, project = current_project()
    selections = project.select(feature or (), service)
    runner = load_engine(engine or settings.engine.default, settings)
    began = perf_counter()
    with progress("features history", quiet=as_json):
        rows = runner.history_file(selections, spine, out)
    seconds = perf_counter() - began
    count = sum(len(selection.names) for selection in selections)
    if as_json:
        print_json({"rows": rows, "features": count, "seconds": seconds, "out": out})
        return
    console().print(
        f"{counted(rows, 'row')} × {counted(count, 'feature')} in {seconds:.1f} s → {out}"
    )
    if not rows:
        console().print("the spine has no rows")


def _brought(given: Iterable[str], selections: Iterable[AnySelection]) -> dict[str, Any]:
    """The value of each column that on-demand features take from a request, in its type."""
    from headrace_features.definitions.on_demand import request_types

    types = request_types(selections)
    texts: dict[str, str] = {}
    for name, text in (_pair("--request", one, "amount_minor=1234") for one in given):
        if name not in types:
            raise ConfigurationError.unknown("request column", name, types)
        if texts.setdefault(name, text) != text:
            raise ConfigurationError(
                f"two values for the request column {name!r}: {texts[name]}, {text}",
                hint="ask with one at a time",
            )
    for name in types:
        if name not in texts:
            raise ConfigurationError(
                f"no value for the request column {name!r}", hint=f"add --request {name}=…"
            )
    return {name: _typed(name, texts[name], kind) for name, kind in types.items()}


def _typed(name: str, text: str, kind: ColumnType) -> Any:
    """A value as it is written in JSON; a text is as it is."""
    if kind is ColumnType.STRING:
        return text
    import json

    from headrace_features.on_demand import request_value

    try:
        return request_value(name, kind, json.loads(text))
    except ValueError:
        raise ConfigurationError(
            f"--request {name}={text}: {name} is {kind}",
            hint={ColumnType.BOOL: "true, false or null"}.get(kind, "a number or null"),
        ) from None


def _keys(entities: Iterable[str], selections: Iterable[Selection]) -> dict[str, Any]:
    """The value of each join key that some features need, in the type of its column."""
    given: dict[str, Any] = {}
    for key, value in (_pair("--entity", one, "card_id=card-000001") for one in entities):
        if given.setdefault(key, value) != value:
            raise ConfigurationError(
                f"two values for the join key {key!r}: {given[key]}, {value}",
                hint="ask for one entity at a time",
            )
    columns = {
        selection.view.entity.join_key: selection.view.source.column(selection.view.entity.join_key)
        for selection in selections
    }
    for key in sorted(columns):
        if key not in given:
            raise ConfigurationError(
                f"no value for the join key {key!r}", hint=f"add --entity {key}=…"
            )
    for key in given.keys() - columns:
        raise ConfigurationError.unknown("join key", key, columns)
    return {
        key: _integer(key, given[key]) if column.type is ColumnType.INT64 else given[key]
        for key, column in columns.items()
    }


def _tell_what_lacks(
    selection: AnySelection,
    keys: Mapping[str, Any],
    values: Mapping[str, Any],
    statuses: Mapping[str, str],
) -> None:
    from headrace_features.definitions.on_demand import OnDemandSelection
    from headrace_features.definitions.views import SEPARATOR

    columns = [f"{selection.view.name}{SEPARATOR}{name}" for name in selection.names]
    lacking = [column for column in columns if statuses[column] == "OUTSIDE_MAX_AGE"]
    if lacking:
        console().print(
            f"{lacking[0]}{f' and {len(lacking) - 1} more' if lacking[1:] else ''} may lack events"
            " that are in no layer; see headrace online status",
            soft_wrap=True,
        )
    if any(statuses[column] != "NOT_FOUND" for column in columns):
        return
    if isinstance(selection, OnDemandSelection):
        views = ", ".join(one.view.name for one in selection.reads)
        console().print(
            f"{selection.view.name} is computed from {views}, which nothing is held of",
            soft_wrap=True,
        )
        return
    view, key = selection.view, selection.view.entity.join_key
    if all(values[column] is None for column in columns):
        console().print(f"{view.name} is not materialized: run headrace materialize")
    else:
        console().print(
            f"{view.name} holds no event of {key}={keys[key]}: its windows are empty",
            soft_wrap=True,
        )


def _require_known(
    settings: Settings,
    project: Project,
    selections: Collection[AnySelection],
    read: Collection[Selection],
) -> None:
    """See that what is asked for is registered as it is declared, or is of the served version."""
    from headrace_features.feast_plugin.registry_file import pending_changes
    from headrace_features.online.live import live_project

    asked = {one.view.name for one in selections} | {one.view.name for one in read}
    pending = {
        one.view: one.kind
        for one in pending_changes(settings, project)
        if one.view in asked and one.kind != "unchanged"
    }
    if not pending:
        return
    live = live_project(settings, project)
    served = {} if live is project else live.views
    for name, kind in pending.items():
        if name not in served:
            how = (
                ": Feast doesn't know it yet" if kind == "added" else f" as it is declared ({kind})"
            )
            raise ConfigurationError(
                f"feature view {name} is not registered{how}", hint="run: headrace apply"
            )
    for one in read:
        held = served.get(one.view.name, one.view)
        lacking = [name for name in one.names if name not in held.feature_names]
        if lacking:
            raise ConfigurationError(
                f"version {held.version} of {held.name} is served, which has no {lacking[0]}",
                hint=f"serve the declared one: headrace promote {held.name}"
                f" --version {one.view.version}",
            )


def _integer(key: str, value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise ConfigurationError(
            f"--entity {key}={value}: {key} is an integer", hint=f"such as {key}=42"
        ) from None


def _pair(option: str, text: str, example: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise ConfigurationError(
            f"{option} {text!r} is not {_FORMS[option]}", hint=f"such as {example}"
        )
    return key, value
