"""`headrace features`: what an entity's features are, or were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_orchestration.commands.backfill import EngineName
from headrace_orchestration.output import JsonOption, console, print_json, print_table, progress
from headrace_orchestration.session import current_project
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from feast.online_response import OnlineResponse

    from headrace_features.definitions.views import Selection
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

app = typer.Typer(help="What an entity's features are, or were.", no_args_is_help=True)

Service = Annotated[str | None, typer.Option(help="A feature service.")]
References = Annotated[
    list[str] | None,
    typer.Option("--feature", help="view:feature, or a view; again for more."),
]
Entities = Annotated[
    list[str], typer.Option("--entity", help="join_key=value, such as card_id=card-000001.")
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
    as_of: AsOf = None,
    current: Current = None,
    as_json: JsonOption = False,
) -> None:
    """Values from the online store through Feast, now or as of a time it still holds."""
    settings, project = current_project()
    selections = project.select(feature or (), service)
    keys = _keys(entity, selections)
    _require_registered(settings, project, selections)
    # What was asked wrongly has been told by now: Feast takes seconds to import.
    from headrace_features.feast_plugin.entity_rows import AS_OF, CURRENT, as_of_ms
    from headrace_features.feast_plugin.repository import feature_store

    row = dict(keys)
    if as_of is not None:
        row[AS_OF] = as_of_ms(int(as_of) if as_of.lstrip("-").isdigit() else as_of)
    if current is not None:
        row[CURRENT] = current
    response = feature_store(settings).get_online_features(
        features=[f"{s.view.name}:{name}" for s in selections for name in s.names],
        entity_rows=[row],
        full_feature_names=True,
    )
    values = {n: column[0] for n, column in response.to_dict().items() if n not in keys}
    statuses = {n: status for n, status in _statuses(response).items() if n in values}
    if as_json:
        print_json({"entity": keys, "features": values, "statuses": statuses})
        return
    print_table(None, ("feature", "value"), list(values.items()))
    for selection in selections:
        _tell_if_not_found(selection, keys, values, statuses)


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
    console().print(f"{rows:,} rows × {count} features in {seconds:.1f} s → {out}")
    if not rows:
        console().print("the spine has no rows")


def _keys(entities: Iterable[str], selections: Iterable[Selection]) -> dict[str, Any]:
    """The value of each join key that some features need, in the type of its column."""
    given: dict[str, Any] = {}
    for key, value in map(_pair, entities):
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


def _tell_if_not_found(
    selection: Selection,
    keys: Mapping[str, Any],
    values: Mapping[str, Any],
    statuses: Mapping[str, str],
) -> None:
    from headrace_features.definitions.views import SEPARATOR

    view, key = selection.view, selection.view.entity.join_key
    columns = [f"{view.name}{SEPARATOR}{name}" for name in selection.names]
    if any(statuses[column] != "NOT_FOUND" for column in columns):
        return
    if all(values[column] is None for column in columns):
        console().print(f"{view.name} is not materialized: run headrace materialize")
    else:
        console().print(
            f"{view.name} holds no event of {key}={keys[key]}: its windows are empty",
            soft_wrap=True,
        )


def _statuses(response: OnlineResponse) -> dict[str, str]:
    """Feast's status of each column of a response with one row."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    proto = response.proto
    return {
        name: FieldStatus.Name(vector.statuses[0])
        for name, vector in zip(proto.metadata.feature_names.val, proto.results, strict=True)
    }


def _require_registered(
    settings: Settings, project: Project, selections: Iterable[Selection]
) -> None:
    from headrace_features.feast_plugin.registry_file import pending_changes

    asked = {selection.view.name for selection in selections}
    for change in pending_changes(settings, project):
        if change.view in asked and change.kind != "unchanged":
            raise ConfigurationError(
                f"feature view {change.view} is not registered as it is declared ({change.kind})",
                hint="run: headrace apply",
            )


def _integer(key: str, value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise ConfigurationError(
            f"--entity {key}={value}: {key} is an integer", hint=f"such as {key}=42"
        ) from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise ConfigurationError(
            f"--entity {text!r} is not join_key=value", hint="such as card_id=card-000001"
        )
    return key, value
