"""Decisions: what is answered about every event of a source as it happens, and rules over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from headrace_features.definitions.services import FeatureService
from headrace_features.definitions.sources import EventSource, checked_name
from headrace_features.definitions.views import SEPARATOR, FeatureView
from headrace_features.expressions.grammar import Expression, parse
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition over an event and its features; where it is true, the event is flagged.

    ``when`` is a row expression over the columns of the event and the features, which are named
    ``view__feature``. Null is not true.
    """

    name: str
    when: str
    description: str = ""

    def __post_init__(self) -> None:
        """Check the name."""
        checked_name("rule", self.name)


@dataclass(frozen=True, slots=True)
class Decisions:
    """For every event of a source: the features of a service as of the event, and the rules.

    Every view of the service has to be about an entity that the event names by its join key.
    Aggregates with ``exclude_current`` leave out the event that is decided.

    Raises:
        ConfigurationError: a rule that can't be evaluated, or a view about something that the
            event doesn't name.
    """

    name: str
    source: EventSource
    service: FeatureService
    rules: Sequence[Rule] = ()
    description: str = ""
    owner: str = ""
    conditions: tuple[Expression, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check names, join keys and conditions."""
        checked_name("decisions", self.name)
        object.__setattr__(self, "rules", tuple(self.rules))
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                message = f"decisions {self.name} have two rules named {name}"
                raise ConfigurationError(message, hint="rename one of them")
        if not self.service.selections:
            message = f"decisions {self.name}: the service {self.service.name} has no feature view"
            raise ConfigurationError(message, hint="on-demand views are left out of decisions")
        known = {column.name for column in self.source.columns}
        for view in self.views:
            if view.entity.join_key not in known:
                message = (
                    f"decisions {self.name}: view {view.name} is about {view.entity.join_key!r}, "
                    f"which {self.source.schema.__name__} does not have"
                )
                raise ConfigurationError(
                    message, hint=f"its columns: {', '.join(sorted(known))}; leave the view out"
                )
        object.__setattr__(self, "conditions", tuple(self._condition(rule) for rule in self.rules))

    @property
    def views(self) -> tuple[FeatureView, ...]:
        """The views that are asked: first those of the decided source, then the others."""
        views = [selection.view for selection in self.service.selections]
        return tuple(sorted(views, key=lambda view: view.source.name != self.source.name))

    @property
    def column_types(self) -> dict[str, ColumnType]:
        """What rules may use: the event's columns, and the features as ``view__feature``."""
        types = {column.name: column.type for column in self.source.columns}
        for view in self.views:
            for feature in view.features:
                types[f"{view.name}{SEPARATOR}{feature.name}"] = feature.type
        return types

    def _condition(self, rule: Rule) -> Expression:
        where = f"decisions {self.name}, rule {rule.name}"
        condition = parse(rule.when, self.column_types, where)
        if condition.type is not ColumnType.BOOL:
            message = f"{where}: the condition is {condition.type}, expected bool"
            raise ConfigurationError(message)
        return condition
