"""Holds two versions of a view to each other, and to batch, entity by entity at one moment.

The moment is one up to which both have all that was sent. What comes late to it meanwhile may be in
one and not yet in the other: rows that differ are looked at again, after a while.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress, groupby, islice, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.warehouse import Warehouse
from headrace_features.kernel.compute import compute
from headrace_features.kernel.prepare import Spine, encode_keys
from headrace_features.online.live import project_in
from headrace_features.online.served import Query, ServedView, ViewQuery
from headrace_features.online.serving import Server
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_features.online.versions import Versions, read_versions
from headrace_orchestration.bits import same
from headrace_orchestration.lake_records import also_in_files
from headrace_orchestration.parity.fetching import events_of_topic
from headrace_schemas.errors import ConfigurationError
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.reading import ends

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.views import FeatureView
    from headrace_features.online.store import StateStore
    from headrace_features.partials.partial import Value
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

#: Entities that are read at once.
_AT_ONCE = 500
#: How often rows that differ are looked at again, and after how long.
_AGAIN = 3
_PAUSE_S = 2.0
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that isn't the same everywhere."""

    feature: str
    entity: str
    first: Value
    second: Value
    batch: Value


@dataclass(frozen=True, slots=True)
class ComparedFeature:
    """One feature of the second version.

    Attributes:
        feature: its name.
        unlike_first: in how many rows it isn't what the first version has; None where that has no
            such feature.
        unlike_batch: in how many rows it isn't what batch gives for the second version.
        incomplete: in how many rows the second version says that events may be missing.
    """

    feature: str
    unlike_first: int | None
    unlike_batch: int
    incomplete: int

    @property
    def holds(self) -> bool:
        """Whether nothing is to be accepted."""
        return not (self.unlike_first or self.unlike_batch or self.incomplete)


@dataclass(frozen=True, slots=True)
class Compared:
    """Two versions of a view.

    Attributes:
        view: its name.
        first, second: the versions; None where there was no such view before.
        as_of_ms: the moment, ms UTC.
        rows: how many entities were compared: all that the events name.
        features: those of the second version.
        removed: the features that only the first one has.
        differences: the first ones.
    """

    view: str
    first: int | None
    second: int
    as_of_ms: int
    rows: int
    features: tuple[ComparedFeature, ...]
    removed: tuple[str, ...]
    differences: tuple[Difference, ...] = field(repr=False)

    @property
    def unlike(self) -> tuple[str, ...]:
        """The features of which something is to be accepted."""
        return (*(one.feature for one in self.features if not one.holds), *self.removed)


def compare_versions(  # noqa: PLR0913, PLR0917 - what is compared
    settings: Settings,
    project: Project,
    name: str,
    first: int,
    second: int,
    told: Callable[[str], None] = lambda _: None,
) -> Compared:
    """Compare the values that two versions of a view give online, and those of batch.

    Args:
        settings: which store, broker and lake.
        project: the declared definitions.
        name: of the view.
        first: the version that the other one is held to.
        second: that other one.
        told: is told what is going on.

    Raises:
        ConfigurationError: there is no such version, or it isn't known up to when it is current.
        RetryableError: store, broker or lake don't answer.
    """
    _, versions = read_versions(open_store(settings))
    # The new one first: without it there is nothing side by side yet.
    new = _version(versions, project, name, second)
    old = _version(versions, project, name, first)
    told(f"read the events of {new.source.name}")
    events = _events(settings, project, new.source)
    return _compared(settings, project, events, old, new, told)


def _compared(  # noqa: PLR0913, PLR0917 - what is compared
    settings: Settings,
    project: Project,
    events: pa.Table,
    first: FeatureView | None,
    second: FeatureView,
    told: Callable[[str], None],
) -> Compared:
    """Hold a view to another one, unless it is None, and to batch."""
    store = open_store(settings)
    as_of_ms = _current_ms(store, [view for view in (first, second) if view is not None])
    keys = pc.unique(events[second.entity.join_key]).to_pylist()
    compared = _Rows(store, first, second, as_of_ms)
    told(f"compare {len(keys):,} entities of {second.name}")
    unlike = compared.unlike(events, keys)
    for _ in range(_AGAIN):
        if not unlike:
            break
        time.sleep(_PAUSE_S)
        unlike = compared.unlike(_events(settings, project, second.source), list(unlike))
    features = []
    for feature in second.features:
        has = first is not None and feature.name in first.feature_names
        rows = [row[feature.name] for row in unlike.values() if feature.name in row]
        features.append(
            ComparedFeature(
                feature.name,
                sum(one.from_first for one in rows) if has else None,
                sum(one.from_batch for one in rows),
                sum(one.incomplete for one in rows),
            )
        )
    found = (
        Difference(feature, str(key), *one.values)
        for key, row in unlike.items()
        for feature, one in row.items()
    )
    return Compared(
        second.name,
        None if first is None else first.version,
        second.version,
        as_of_ms,
        len(keys),
        tuple(features),
        tuple(_removed(first, second)),
        tuple(islice(found, _SHOWN)),
    )


def _removed(first: FeatureView | None, second: FeatureView) -> Iterator[str]:
    """Who asks for these gets an error instead of a value."""
    names = first.feature_names if first is not None else ()
    return (name for name in names if name not in second.feature_names)


def accepted_features(
    projects: Sequence[Project], view: str, accepted: Collection[str]
) -> frozenset[str]:
    """The features that may differ or be removed, each as `view:feature`.

    Args:
        projects: the declared definitions, and those that are served.
        view: whose features are named alone.
        accepted: their names.

    Raises:
        ConfigurationError: there is no such feature.
    """
    found = frozenset(one if ":" in one else f"{view}:{one}" for one in accepted)
    known: dict[str, set[str]] = defaultdict(set)
    for project in projects:
        for one_view in project.views.values():
            known[one_view.name] |= {*one_view.feature_names}
    for one in found:
        name, _, feature = one.partition(":")
        if name not in known:
            raise ConfigurationError.unknown("feature view", name, known)
        if feature not in known[name]:
            raise ConfigurationError.unknown(f"feature of {name}", feature, known[name])
    return found


def require_parity(
    settings: Settings,
    project: Project,
    made: Project,
    may_differ: Collection[str],
    told: Callable[[str], None] = lambda _: None,
) -> None:
    """See that all of a namespace says what is served says, and what batch says.

    Args:
        settings: which store, broker and lake.
        project: the declared definitions.
        made: the project in the namespace: it is served as a whole.
        may_differ: the features that may, see `accepted_features`.
        told: is told what is going on.

    Raises:
        ConfigurationError: others do; the message names them.
    """
    _, versions = read_versions(open_store(settings))
    served = project_in(versions, versions.serving, project)
    looks: list[str] = []
    gone = (view for name, view in served.views.items() if name not in made.views)
    unlike = [f"{view.name}:{name}" for view in gone for name in view.feature_names]
    unlike = [one for one in unlike if one not in may_differ]
    # Its events are read once for all views of a source.
    views = sorted(made.views.values(), key=lambda one: one.source.name)
    for name, some in groupby(views, key=lambda one: one.source.name):
        told(f"read the events of {name}")
        events = _events(settings, project, made.source(name))
        # Of a source without any nobody tells up to when its views are current.
        for second in some if len(events) else ():
            first = served.views.get(second.name)
            found = _compared(settings, project, events, first, second, told)
            names = [f"{second.name}:{one}" for one in found.unlike]
            differ = [one for one in names if one not in may_differ]
            unlike += differ
            if differ and first is not None and first.version != second.version:
                both = f"{first.version},{second.version}"
                looks.append(f"headrace parity {second.name} --versions {both}")
    if unlike:
        see = f"see: {', '.join(looks)}; " if looks else ""
        raise ConfigurationError(
            f"{made.namespace} differs in {', '.join(unlike)}",
            hint=f"{see}what is meant to differ, or to be gone: --accept VIEW:FEATURE",
        )


@dataclass(frozen=True, slots=True)
class _Unlike:
    """A value that isn't the same everywhere: first, second, batch."""

    values: tuple[Value, Value, Value]
    from_first: bool
    from_batch: bool
    incomplete: bool


class _Rows:
    """The values of both versions at one moment."""

    def __init__(
        self, store: StateStore, first: FeatureView | None, second: FeatureView, as_of_ms: int
    ) -> None:
        self._first = first
        self._second = second
        self._server = Server(store, as_given=True)
        self._as_of_ms = as_of_ms

    def unlike(self, events: pa.Table, keys: Sequence[Any]) -> dict[Any, dict[str, _Unlike]]:
        """By entity and feature what isn't the same everywhere."""
        view = self._second
        spine = Spine(
            keys=pa.chunked_array([keys], events[view.entity.join_key].type),
            times_ms=pa.chunked_array([np.full(len(keys), self._as_of_ms, np.int64)]),
            current=None,
        )
        batch = {name: one.to_pylist() for name, one in compute(view, events, spine).items()}
        common = {*(self._first.feature_names if self._first else ())} & {*view.feature_names}
        found: dict[Any, dict[str, _Unlike]] = {}
        nothing: _Read = {}, ()
        before_all = self._read(self._first, keys) if self._first else repeat(nothing)
        both = zip(keys, before_all, self._read(view, keys), strict=False)
        for place, (key, (before, _), (after, missing)) in enumerate(both):
            for name, value in after.items():
                held, computed = before.get(name), batch[name][place]
                one = _Unlike(
                    (held, value, computed),
                    name in common and not same(held, value),
                    not same(value, computed),
                    name in missing,
                )
                if one.from_first or one.from_batch or one.incomplete:
                    found.setdefault(key, {})[name] = one
        return found

    def _read(self, view: FeatureView, keys: Sequence[Any]) -> Iterator[_Read]:
        served = ServedView(view, view.feature_names)
        for begin in range(0, len(keys), _AT_ONCE):
            queries = [Query(key, self._as_of_ms) for key in keys[begin : begin + _AT_ONCE]]
            (answered,) = self._server.read([ViewQuery(served, queries)])
            for one in answered.answers:
                yield (
                    dict(zip(view.feature_names, one.values, strict=True)),
                    {*compress(view.feature_names, one.incomplete or ())},
                )


#: Values by feature, and the features of which events may be missing.
_Read = tuple[Mapping[str, "Value"], Collection[str]]


def _version(versions: Versions, project: Project, name: str, version: int) -> FeatureView:
    """A version of a view as it is kept somewhere."""
    known = []
    for namespace in versions.namespaces:
        view = project_in(versions, namespace, project).views.get(name)
        if view is not None and view.version == version:
            return view
        if view is not None:
            known.append(str(view.version))
    raise ConfigurationError(
        f"there is no version {version} of {name}; kept are: {', '.join(known) or 'none'}",
        hint=f"headrace replay {name} --to-version {version}",
    )


def _current_ms(store: StateStore, views: Sequence[FeatureView]) -> int:
    """The newest event's time, or up to when both versions have all that was sent, ms UTC."""
    keys = [ServedView(view, view.feature_names[:1]).key for view in views]
    layers = layers_of(store, keys)
    known = []
    for key, view in zip(keys, views, strict=True):
        stream = layers[key].stream
        if stream is None or not stream.current_ms:
            raise ConfigurationError(
                f"it isn't known up to when version {view.version} of {view.name} is current",
                hint="its writer tells that once it has all: headrace writer status",
            )
        # Long after the newest event windows are empty, and all alike.
        known.append(min(stream.current_ms, stream.event_time_ms))
    return min(known)


def _events(settings: Settings, project: Project, source: EventSource) -> pa.Table:
    """All events that there are of a source, of each dedup key the first."""
    kafka, warehouse = kafka_config(settings), Warehouse.of(settings)
    names = [column.name for column in source.columns]
    parts = []
    deleted = any(oldest > 0 for oldest, _ in ends(kafka, source.topic).values())
    elsewhere = deleted or source.name in also_in_files(settings, project)
    if elsewhere and warehouse.find(source.table) is not None:
        parts.append(warehouse.read(source.table, names))
    parts.append(events_of_topic(kafka, source).select(names))
    events = pa.concat_tables(parts).combine_chunks()
    _, first = np.unique(encode_keys(events[source.dedup_key]), return_index=True)
    return events.take(pa.array(np.sort(first)))
