"""Gates: what a day of a table has to be like before anything is published from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace_features.definitions.durations import parse_duration
from headrace_features.definitions.sources import EventSource, checked_name
from headrace_features.definitions.training_sets import TrainingSet
from headrace_features.definitions.views import FeatureView
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Volume:
    """The rows of the day are within bounds of the mean of the last days that have any.

    ``at_least`` and ``at_most`` are multiples of that mean. A first day is compared with nothing.
    """

    at_least: float = 0.5
    at_most: float = 2.0
    of_last: int = 7

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return "volume"


@dataclass(frozen=True, slots=True)
class Unique:
    """Rows of the day that have the values of another one, in some columns, are few.

    ``at_most`` is the share of rows that repeat values which another row of the day has.
    """

    columns: Sequence[str]
    at_most: float = 0.0

    def __post_init__(self) -> None:
        """Make the columns comparable."""
        if isinstance(self.columns, str):
            # Else each of its letters would be taken for a column.
            raise ConfigurationError(
                f"Unique: its columns are the text {self.columns!r}, expected a list of names",
                hint=f"write Unique([{self.columns!r}])",
            )
        object.__setattr__(self, "columns", tuple(self.columns))

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"duplicates({', '.join(self.columns)})"


@dataclass(frozen=True, slots=True)
class Fresh:
    """The newest event is at most ``within``, such as ``"2h"``, before the end of the day."""

    within: str

    @property
    def within_ms(self) -> int:
        """The same in milliseconds."""
        return parse_duration(self.within)

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return "freshness"


@dataclass(frozen=True, slots=True)
class Nulls:
    """The share of the day's rows that are null in a column is at most ``at_most``."""

    column: str
    at_most: float

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"nulls({self.column})"


@dataclass(frozen=True, slots=True)
class Drift:
    """The distribution of a column is near that of a named baseline.

    It is measured by the population stability index, the sum of (a - b) ln(a / b) over bins, with
    the shares a of the day's rows and b of the baseline's (Siddiqi, Credit Risk Scorecards, 2006).
    Below 0.1 distributions count as the same, above 0.25 as different. Bins are the deciles of the
    baseline for numbers, and its 50 most frequent values for texts and booleans; null is one more,
    and so is any other text. ``headrace baseline set`` makes a baseline.
    """

    column: str
    baseline: str
    at_most: float = 0.2

    def __post_init__(self) -> None:
        """Check the name."""
        checked_name("baseline", self.baseline)

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"drift({self.column}, {self.baseline})"


TableRule = Volume | Unique | Fresh | Nulls | Drift


@dataclass(frozen=True, slots=True)
class Gate:
    """Rules for each day of a table: of a source's events, a view's features, or a training set.

    Of a day without rows volume and freshness are measured; others have nothing to look at, and
    pass.

    `headrace validate` holds a day to them. A day of events that fails doesn't come into a batch
    layer of the online store; of a training set whose newest day fails no shards are published.

    Raises:
        ConfigurationError: no rule or two of one name, an unknown column, a share that is none, or
            a rule on how much of a day there is for events that become known later.
    """

    of: EventSource | FeatureView | TrainingSet
    rules: Sequence[TableRule]

    def __post_init__(self) -> None:
        """Check names, columns and bounds."""
        object.__setattr__(self, "rules", tuple(self.rules))
        names = [rule.name for rule in self.rules]
        if not names:
            raise ConfigurationError(f"the gate of {self.name} has no rules")
        for name in names:
            if names.count(name) > 1:
                raise ConfigurationError(f"the gate of {self.name} has two rules {name}")
        for rule in self.rules:
            where = f"the gate of {self.name}, {rule.name}"
            _check(where, rule, self.columns)
            if isinstance(rule, Volume | Fresh):
                _require_known_at_once(where, self.of)

    @property
    def name(self) -> str:
        """The name of the source, the view or the training set."""
        return self.of.name

    @property
    def event_time(self) -> str:
        """The column that says when an event happened."""
        match self.of:
            case EventSource():
                return self.of.event_time
            case FeatureView():
                return self.of.source.event_time
            case TrainingSet():
                return "event_time"

    @property
    def columns(self) -> Mapping[str, ColumnType]:
        """The columns that rules may be about."""
        if isinstance(self.of, EventSource):
            return {column.name: column.type for column in self.of.columns}
        if isinstance(self.of, TrainingSet):
            return self.of.column_types
        source = self.of.source
        keys = (self.of.entity.join_key, source.event_time, source.dedup_key)
        features = {feature.name: feature.type for feature in self.of.features}
        return {name: source.column(name).type for name in keys} | features


def _check(where: str, rule: TableRule, columns: Mapping[str, ColumnType]) -> None:
    match rule:
        case Volume():
            _check_volume(where, rule)
        case Unique(names, at_most):
            if not names:
                raise ConfigurationError(f"{where}: it names no column")
            for name in names:
                _require_column(where, name, columns)
            _require_share(where, at_most)
        case Fresh(within):
            _require_duration(where, within)
        case Nulls(column, at_most):
            _require_column(where, column, columns)
            _require_share(where, at_most)
        case Drift(column, _, at_most):
            _require_column(where, column, columns)
            if not 0 <= at_most < math.inf:
                raise ConfigurationError(f"{where}: at_most={at_most}, expected 0 or more")


def _check_volume(where: str, rule: Volume) -> None:
    if not 0 <= rule.at_least <= rule.at_most < math.inf or rule.of_last < 1:
        raise ConfigurationError(
            f"{where}: from {rule.at_least} to {rule.at_most} of the last {rule.of_last} days,"
            " expected multiples of which the first is the lower one, and at least one day"
        )


def _require_known_at_once(where: str, of: EventSource | FeatureView | TrainingSet) -> None:
    if isinstance(of, EventSource) and of.available_at is not None:
        raise ConfigurationError(
            f"{where}: events of {of.name} become known later than they were, by {of.available_at},"
            " so a day that has just ended lacks them; expected rules on the rows that are there",
            hint="leave it out: Unique, Nulls and Drift look at a day once it has rows",
        )


def _require_duration(where: str, text: str) -> None:
    try:
        parse_duration(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error.message}", hint=error.hint) from error


def _require_column(where: str, name: str, columns: Mapping[str, ColumnType]) -> None:
    if name not in columns:
        raise ConfigurationError.unknown(f"column in {where}", name, columns)


def _require_share(where: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ConfigurationError(f"{where}: at_most={share}, expected a share from 0 to 1")
