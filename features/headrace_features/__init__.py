"""Features declared once: definitions, semantics, and the engines' common ground."""

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
from headrace_features.definitions.on_demand import OnDemandView
from headrace_features.definitions.services import FeatureService
from headrace_features.definitions.sources import Entity, EventSource
from headrace_features.definitions.views import FeatureView
from headrace_features.definitions.windows import Session, Sliding, Tumbling, Unbounded

__all__ = [
    "ApproxDistinct",
    "Count",
    "Decisions",
    "Distinct",
    "Entity",
    "EventSource",
    "FeatureService",
    "FeatureView",
    "First",
    "Last",
    "Max",
    "Mean",
    "Min",
    "OnDemandView",
    "Quantile",
    "Rule",
    "Session",
    "Sliding",
    "StdDev",
    "Sum",
    "Tumbling",
    "Unbounded",
    "Variance",
    "struct",
]
