"""From a project to the plan of its stream job: sources, views and decisions as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_features.decisions import decisions_of
from headrace_features.definitions.row_rules import FormatRule, ReferenceRule, RowRule, TimelyRule
from headrace_features.stream_plan.expressions import expression
from headrace_features.stream_plan.views import view_plan
from headrace_schemas.event_times import PLAUSIBLE
from headrace_schemas.json_schema import schema_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace_features.definitions.decisions import Decisions
    from headrace_features.definitions.row_rules import AnyRowRule
    from headrace_features.definitions.sources import EventSource
    from headrace_features.project import Project

#: Raised when the operator has to read a plan differently.
PLAN_VERSION = 1


def plan_json(project: Project) -> str:
    """The plan of a project's stream job, the same text for the same definitions."""
    return json.dumps(compile_plan(project), sort_keys=True, separators=(",", ":"))


def compile_plan(project: Project) -> dict[str, Any]:
    """The plan of a project's stream job as JSON-compatible data."""
    decisions = decisions_of(project)
    views = {view.name: view for one in decisions for view in one.views}
    sources = {view.source.name: view.source for view in views.values()}
    sources |= {one.source.name: one.source for one in decisions}
    # What became known has to be absorbed before the events of the same instant are answered.
    ranked = sorted(sources.values(), key=lambda source: (source.available_at is None, source.name))
    return {
        "version": PLAN_VERSION,
        "project": project.name,
        "sources": [_source(source, rank) for rank, source in enumerate(ranked)],
        "views": [view_plan(view) for _, view in sorted(views.items())],
        "decisions": [_decisions(one) for one in decisions],
    }


def _source(source: EventSource, rank: int) -> dict[str, Any]:
    return {
        "name": source.name,
        "topic": source.topic,
        "schema": source.schema.__name__,
        "schema_version": schema_version(source.schema),
        "event_time": source.event_time,
        "dedup_key": source.dedup_key,
        "available_at": source.available_at,
        "rank": rank,
        "plausible": msgspec.to_builtins(PLAUSIBLE),
        "columns": [msgspec.to_builtins(column) for column in source.codec.columns],
        "rules": [rule for one in source.rules for rule in _row_rule(source, one)],
    }


def _row_rule(source: EventSource, rule: AnyRowRule) -> Iterator[dict[str, Any]]:
    """A rule, if a stream holds events to it."""
    match rule:
        case RowRule(name):
            condition = expression(source.conditions[name].node)
            yield {"kind": "row", "name": name, "holds": condition}
        case FormatRule(name, column, pattern):
            yield {"kind": "format", "name": name, "column": column, "pattern": pattern}
        case TimelyRule(name):
            yield {"kind": "timely", "name": name, "within_ms": rule.within_ms}
        case ReferenceRule():
            pass


def _decisions(decisions: Decisions) -> dict[str, Any]:
    stages: dict[str, list[str]] = {}
    for view in decisions.views:
        stages.setdefault(view.entity.join_key, []).append(view.name)
    return {
        "name": decisions.name,
        "source": decisions.source.name,
        "stages": [{"join_key": key, "views": views} for key, views in stages.items()],
        "rules": [
            {"name": rule.name, "when": expression(condition.node)}
            for rule, condition in zip(decisions.rules, decisions.conditions, strict=True)
        ],
    }
