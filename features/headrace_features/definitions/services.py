"""Feature services: what one model asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from headrace_features.definitions.durations import canonical, parse_duration
from headrace_features.definitions.on_demand import AnySelection, OnDemandSelection, OnDemandView
from headrace_features.definitions.sources import checked_name
from headrace_features.definitions.views import FeatureView, Selection
from headrace_schemas.errors import ConfigurationError

_INCOMPLETE = ("flag", "refuse")
_UNAVAILABLE = ("fail", "empty")


@dataclass(frozen=True, slots=True)
class Terms:
    """What becomes of a request that can't be answered as it should be.

    Attributes:
        incomplete: if a window may have events that are in no layer of the online store: `flag`
            gives the value of what there is with a status that says so, `refuse` an error.
        unavailable: if the online store doesn't answer in time: `fail` is an error, `empty` gives
            the values of empty windows with a status that says so.
        max_lag: how far behind the end of a window the stream may be before that is incomplete, in
            the form of "5m". It is known with every checkpoint: some seconds less would flag all.
    """

    incomplete: str = "flag"
    unavailable: str = "fail"
    max_lag: str = "5m"
    max_lag_ms: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what isn't offered.

        Raises:
            ConfigurationError: there is no such choice, or the lag is no duration.
        """
        object.__setattr__(self, "max_lag_ms", parse_duration(self.max_lag))
        object.__setattr__(self, "max_lag", canonical(self.max_lag))
        for name, value, allowed in (
            ("incomplete", self.incomplete, _INCOMPLETE),
            ("unavailable", self.unavailable, _UNAVAILABLE),
        ):
            if value not in allowed:
                raise ConfigurationError.unknown(f"choice for {name}", value, allowed)


#: What a service may say of its terms.
TERMS = tuple(one.name for one in fields(Terms) if one.init)


@dataclass(frozen=True, slots=True)
class FeatureService:
    """What one model asks for: whole views, or some features of a view by `select`.

    On-demand views and selections of them stand beside the others. Then each request has to bring
    their columns. Decisions ask for the features that are kept, and leave these out.
    """

    name: str
    features: Sequence[FeatureView | OnDemandView | AnySelection]
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    terms: Terms = Terms()
    selections: tuple[Selection, ...] = field(init=False, repr=False, compare=False)
    on_demand: tuple[OnDemandSelection, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the name and make every entry a selection."""
        checked_name("feature service", self.name)
        object.__setattr__(self, "features", tuple(self.features))
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))
        chosen: list[AnySelection] = [
            entry.select(*entry.feature_names)
            if isinstance(entry, FeatureView | OnDemandView)
            else entry
            for entry in self.features
        ]
        names = [selection.view.name for selection in chosen]
        if not names or len(set(names)) < len(names):
            msg = f"feature service {self.name} names {len(names)} views: {', '.join(names)}"
            raise ConfigurationError(msg, hint="name at least one view, and each once")
        kept = tuple(one for one in chosen if isinstance(one, Selection))
        computed = tuple(one for one in chosen if isinstance(one, OnDemandSelection))
        object.__setattr__(self, "selections", kept)
        object.__setattr__(self, "on_demand", computed)

    @property
    def asked(self) -> tuple[AnySelection, ...]:
        """Everything that is asked for, what is computed on demand last."""
        return (*self.selections, *self.on_demand)
