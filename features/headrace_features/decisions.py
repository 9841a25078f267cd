"""Which decisions a project's stream makes, and what its rules say: the measure of the stream."""

from __future__ import annotations

from collections.abc import Mapping

from headrace_features.definitions.decisions import Decisions
from headrace_features.definitions.services import FeatureService
from headrace_features.definitions.sources import EventSource
from headrace_features.definitions.views import FeatureView
from headrace_features.expressions.rows import evaluate
from headrace_features.oracle import Row
from headrace_features.project import Project
from headrace_schemas.errors import BadRecordError, ConfigurationError


def decisions_of(project: Project) -> tuple[Decisions, ...]:
    """The decisions that a project declares, and implied ones for the views in none of them.

    Implied decisions have no rules: each event of a source is answered with the features of the
    views over that source. They are named after the source.

    Raises:
        ConfigurationError: declared decisions have the name that implied ones would get.
    """
    declared = tuple(project.decisions.values())
    covered = {view.name for decisions in declared for view in decisions.views}
    left: dict[str, list[FeatureView]] = {}
    sources: dict[str, EventSource] = {}
    for view in project.views.values():
        if view.name not in covered:
            left.setdefault(view.source.name, []).append(view)
            sources[view.source.name] = view.source
    for name, uncovered in left.items():
        if name in project.decisions:
            views = ", ".join(view.name for view in uncovered)
            message = (
                f"no decisions ask for {views}, and those that would be implied for the source"
                f" {name} can't be named after it: declared ones are"
            )
            raise ConfigurationError(
                message, hint="give the declared ones another name, or their service these views"
            )
    implied = (
        Decisions(name, sources[name], FeatureService(name, views)) for name, views in left.items()
    )
    return (*declared, *implied)


def fired(decisions: Decisions, event: Row, features: Mapping[str, object]) -> tuple[str, ...]:
    """The rules that flag an event.

    Args:
        decisions: the declaration.
        event: the columns of the event.
        features: the values by ``view__feature``.
    """
    row = {**event, **features}
    names = []
    for rule, condition in zip(decisions.rules, decisions.conditions, strict=True):
        try:
            flagged = evaluate(condition.node, row)  # type: ignore[arg-type] # features are scalars
        except BadRecordError:
            # Arithmetic beyond the numbers there are says nothing about the event.
            continue
        if flagged is True:
            names.append(rule.name)
    return tuple(names)
