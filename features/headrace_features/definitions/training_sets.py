"""Training sets: which events are rows, what is foretold of them, and how they are divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType

from headrace_features.definitions.durations import DAY_MS, parse_duration
from headrace_features.definitions.on_demand import read_for, request_types, sources_of
from headrace_features.definitions.services import FeatureService
from headrace_features.definitions.sources import Entity, EventSource, checked_name
from headrace_features.definitions.views import SEPARATOR
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.shard_kinds import Kind

#: The column of a spine that says since when the label of a row is known, ms UTC.
LABEL_KNOWN_AT = "label_known_at"


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Features as of each event of the last days, with what became of it, made anew each day.

    A row is an event of ``events`` that is labelled. It has the keys of the service's views, its
    time, what requests bring for on-demand features, and ``columns`` besides; shards have its dedup
    key where ``columns`` names it. ``label`` are columns of the event itself, or of the event of
    ``label_source`` that has the same dedup key. On a day the set has the ``days`` days up to the
    last one that is ``label_delay`` over, such as ``"7d"``: by then the labels of its events are
    known. The newest ``test_days`` of them are for tests, those before for validation. Of
    ``entity`` the share ``hold_out`` is in a split of its own. Shards are of ``format``: "mds" for
    the loader, whose texts are codes and so have to be few, or "parquet" or "webdataset", which
    have texts as they are, such as a dedup key.

    Raises:
        ConfigurationError: a column is missing or of another type than is asked for, or numbers
            don't fit.
    """

    name: str
    service: FeatureService
    events: EventSource
    label: Sequence[str]
    label_source: EventSource | None = None
    label_delay: str = "0d"
    columns: Sequence[str] = ()
    days: int = 90
    valid_days: int = 7
    test_days: int = 7
    hold_out: float = 0.0
    entity: Entity | None = None
    seed: int = 0
    format: str = Kind.MDS
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check names, columns and numbers."""
        checked_name("training set", self.name)
        object.__setattr__(self, "label", tuple(self.label))
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))
        if parse_duration(self.label_delay) < 0 or min(self.valid_days, self.test_days) < 0:
            raise ConfigurationError(f"{self._where}: days are counted from 0")
        if self.days <= self.valid_days + self.test_days:
            raise ConfigurationError(
                f"{self._where}: of {self.days} days {self.valid_days} are for validation and"
                f" {self.test_days} for tests, which leaves none for training"
            )
        if not 0 <= self.hold_out < 1 or bool(self.hold_out) is not (self.entity is not None):
            raise ConfigurationError(
                f"{self._where}: hold_out={self.hold_out} and"
                f" entity={None if self.entity is None else self.entity.name!r}, expected a share"
                " below 1 and whose entities are held out, or neither"
            )
        if self.format not in set(Kind):
            raise ConfigurationError.unknown(f"format of {self._where}", self.format, Kind)
        if not self.label:
            raise ConfigurationError(f"{self._where} has no label")
        for name in self.label:
            self.labelling.column(name)
        self._check_kept()

    @property
    def labelling(self) -> EventSource:
        """The source whose events have the labels."""
        return self.label_source or self.events

    @property
    def kept(self) -> dict[str, ColumnType]:
        """The columns of an event that a row has, but for its time, which is ``event_time``.

        The dedup key is among them: features that leave the event itself out go by it.
        """
        asked = self.service.asked
        entities = [one.view.entity for one in read_for(asked)]
        if self.entity is not None:
            entities.append(self.entity)
        keys = [one.join_key for one in entities]
        names = dict.fromkeys([self.events.dedup_key, *keys, *request_types(asked), *self.columns])
        return {name: self.events.column(name).type for name in names}

    @property
    def column_types(self) -> dict[str, ColumnType]:
        """The columns of a row."""
        features = {
            f"{one.view.name}{SEPARATOR}{name}": one.view.feature(name).type
            for one in self.service.asked
            for name in one.names
        }
        labels = {name: self.labelling.column(name).type for name in self.label}
        return {"event_time": ColumnType.INT64, **self.kept, **labels, **features}

    @property
    def sources(self) -> dict[str, EventSource]:
        """All sources that it is made of, by name."""
        own = {one.name: one for one in (self.events, self.labelling)}
        return own | sources_of(self.service.asked)

    def days_at(self, day: date) -> tuple[date, date]:
        """The first and the last day of events that the set of a day has."""
        last = day - timedelta(-(-parse_duration(self.label_delay) // DAY_MS))
        return last - timedelta(self.days - 1), last

    @property
    def _where(self) -> str:
        return f"training set {self.name}"

    def _check_kept(self) -> None:
        """See that events have what requests bring, and that no two columns have one name."""
        for name, kind in request_types(self.service.asked).items():
            found = self.events.column(name).type
            if found is not kind:
                raise ConfigurationError(
                    f"{self._where}: the column {name!r} of {self.events.name} is {found}, and"
                    f" requests for {self.service.name} bring {kind}"
                )
        names = ["event_time", *self.kept, *self.label, LABEL_KNOWN_AT]
        for name in names:
            if names.count(name) > 1:
                raise ConfigurationError(
                    f"{self._where}: a row would have two columns {name!r}",
                    hint="keys, the time and what requests bring are there without being named",
                )
