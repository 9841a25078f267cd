"""What a deployment tells of itself, so that what it did can be checked when it is long gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from headrace_features.decisions import decisions_of
from headrace_features.online.served import view_key
from headrace_features.portable_project import portable_project
from headrace_schemas.compatibility import Breaks, check
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.json_schema import document
from headrace_streaming.kafka.epochs import Announcement

if TYPE_CHECKING:
    from headrace_features.project import Project
    from headrace_streaming.job.config import JobConfig


def announcement_of(
    project: Project,
    config: JobConfig,
    restored_from: str | None,
    oldest: Mapping[str, Mapping[int, int]],
    also_in_files: Iterable[str],
) -> Announcement:
    """What one deployment of a project's job tells of itself.

    Args:
        project: whose job it is.
        config: what the job is told.
        restored_from: the state that it goes on from, if any.
        oldest: by source and partition, the offset of the oldest record.
        also_in_files: the sources that have events which never were in their topics.
    """
    lake = config.lake
    views = [view for one in decisions_of(project) for view in one.views]
    announced = Announcement(
        project=project.name,
        namespace=project.namespace,
        live=config.live,
        mode=config.mode,
        restored_from=restored_from,
        newest_state=config.newest_state,
        since_ms=None if lake is None else dict(lake.since_ms),
        history=None if lake is None else lake.history,
        lateness_ms=config.lateness_ms,
        out_of_orderness_ms=config.out_of_orderness_ms,
        features={view.name: list(view.feature_names) for view in views},
        views=list(dict.fromkeys(map(view_key, views))),
        contracts={name: document(source.schema) for name, source in project.sources.items()},
        definitions=portable_project(project),
    )
    if not announced.anew:
        return announced
    ends = {} if lake is None else lake.starts
    starts = {source: {**offsets, **ends.get(source, {})} for source, offsets in oldest.items()}
    return replace(announced, starts=starts, also_in_files=list(also_in_files))


def require_readable(project: Project, former: Announcement | None) -> None:
    """See that the contracts still take the events that were good for a former deployment.

    Raises:
        ConfigurationError: one of them refuses some.
    """
    contracts = former.contracts if former is not None else None
    for name, before in (contracts or {}).items():
        if name not in project.sources:
            continue
        schema = project.sources[name].schema
        for problem in check(before, document(schema)):
            if problem.breaks is Breaks.NEW_READERS:
                raise ConfigurationError(
                    f"the contract {schema.__name__} no longer takes all events of {name}:"
                    f" {problem}",
                    hint="what it refuses would be dead letters; else begin anew: --fresh",
                )
