"""Features declared once: definitions, semantics, and the engines' common ground."""

from importlib import import_module
from typing import TYPE_CHECKING

from headrace_features.definitions.aggregates import (
    ApproxDistinct,
    Count,
    Distinct,
    First,
    Last,
    Max,
    Mean,
    Min,
    Quantile,
    StdDev,
    Sum,
    Variance,
    struct,
)
from headrace_features.definitions.decisions import Decisions, Rule
from headrace_features.definitions.gates import Drift, Fresh, Gate, Nulls, Unique, Volume
from headrace_features.definitions.on_demand import OnDemandView
from headrace_features.definitions.row_rules import (
    FormatRule,
    ReferenceRule,
    RowRule,
    TimelyRule,
)
from headrace_features.definitions.services import FeatureService, Terms
from headrace_features.definitions.sources import Entity, EventSource
from headrace_features.definitions.training_sets import TrainingSet
from headrace_features.definitions.views import FeatureView
from headrace_features.definitions.windows import Session, Sliding, Tumbling, Unbounded

if TYPE_CHECKING:
    from headrace_features.online.reader import FeatureReader, FeatureRow

__all__ = [
    "ApproxDistinct",
    "Count",
    "Decisions",
    "Distinct",
    "Drift",
    "Entity",
    "EventSource",
    "FeatureReader",
    "FeatureRow",
    "FeatureService",
    "FeatureView",
    "First",
    "FormatRule",
    "Fresh",
    "Gate",
    "Last",
    "Max",
    "Mean",
    "Min",
    "Nulls",
    "OnDemandView",
    "Quantile",
    "ReferenceRule",
    "RowRule",
    "Rule",
    "Session",
    "Sliding",
    "StdDev",
    "Sum",
    "Terms",
    "TimelyRule",
    "TrainingSet",
    "Tumbling",
    "Unbounded",
    "Unique",
    "Variance",
    "Volume",
    "struct",
]


def __getattr__(name: str) -> object:
    # Definitions are imported where nobody reads an online store.
    if name in {"FeatureReader", "FeatureRow"}:
        return getattr(import_module("headrace_features.online.reader"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
