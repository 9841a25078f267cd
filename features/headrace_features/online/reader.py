"""Features for callers who want the lowest latency: straight from the store, without Feast."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace_features.definitions.on_demand import OnDemandSelection, read_for, request_types
from headrace_features.definitions.services import Terms
from headrace_features.definitions.views import SEPARATOR
from headrace_features.on_demand import request_value, value_of
from headrace_features.online.freshness import Freshness, freshness_of
from headrace_features.online.layers import NO_LAYERS
from headrace_features.online.query_times import AS_OF, CURRENT, as_of_ms
from headrace_features.online.served import Query, ServedView, ViewQuery
from headrace_features.online.serving import Server, ViewAnswer
from headrace_features.online.stores import open_store
from headrace_features.partials.partial import Value
from headrace_features.project import load_project
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason
from headrace_schemas.settings import load

if TYPE_CHECKING:
    from headrace_features.definitions.on_demand import AnySelection
    from headrace_features.online.layers import Layers
    from headrace_features.online.store import StateStore
    from headrace_features.project import Project
    from headrace_schemas.settings import Settings

_USUAL = Terms()
_KEY_TYPES: Mapping[ColumnType, type] = {ColumnType.STRING: str, ColumnType.INT64: int}


class FeatureRow(Mapping[str, Value]):
    """The features of one row, by `view__feature`, and how far they can be trusted."""

    __slots__ = ("_answers", "_at", "_made_of", "_queries", "_values")

    def __init__(
        self,
        values: dict[str, Value],
        made_of: Mapping[str, frozenset[str]],
        queries: Sequence[ViewQuery],
        answers: Sequence[ViewAnswer],
        at: int,
    ) -> None:
        self._values = values
        self._made_of = made_of
        self._queries = queries
        self._answers = answers
        self._at = at

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        """The values, as they are looked at in a shell."""
        return f"FeatureRow({self._values!r})"

    def to_dict(self) -> dict[str, Value]:
        """The values by name."""
        return dict(self._values)

    @property
    def incomplete(self) -> frozenset[str]:
        """The features whose windows, or those of what they are made of, may lack events."""
        missing = frozenset(name for name, _ in self._missing())
        return frozenset(
            name for name, read in self._made_of.items() if not missing.isdisjoint(read)
        )

    @property
    def not_found(self) -> frozenset[str]:
        """The views that have no state of the entity: its windows are empty there."""
        pairs = zip(self._queries, self._answers, strict=True)
        return frozenset(
            query.view.view.name
            for query, answered in pairs
            if not answered.answers[self._at].found
        )

    @property
    def statuses(self) -> dict[str, str]:
        """Of each value the status that Feast gives it, by the worst of what it is made of.

        OUTSIDE_MAX_AGE: the value is incomplete. NOT_FOUND: a view has no state of the entity, or
        none at all. Else NULL_VALUE or PRESENT.
        """
        incomplete = {name for name, layers in self._missing() if layers != NO_LAYERS}
        absent = self.not_found
        found = {}
        for name, read in self._made_of.items():
            if not incomplete.isdisjoint(read):
                found[name] = "OUTSIDE_MAX_AGE"
            elif any(one.partition(SEPARATOR)[0] in absent for one in read):
                found[name] = "NOT_FOUND"
            else:
                found[name] = "NULL_VALUE" if self._values[name] is None else "PRESENT"
        return found

    @property
    def freshness(self) -> dict[str, Freshness]:
        """By view what its layers hold, and what each window looked at."""
        return {
            query.view.view.name: freshness_of(
                answered,
                answered.answers[self._at],
                query.queries[self._at].time_ms,
            )
            for query, answered in zip(self._queries, self._answers, strict=True)
        }

    def _missing(self) -> Iterator[tuple[str, Layers]]:
        """What was read of views whose windows may lack events, and the layers of the view."""
        for query, answered in zip(self._queries, self._answers, strict=True):
            missing = answered.answers[self._at].incomplete
            if missing is not None:
                for feature, lacks in zip(query.view.asked.features, missing, strict=True):
                    if lacks:
                        name = f"{query.view.view.name}{SEPARATOR}{feature.name}"
                        yield name, answered.layers


class FeatureReader:
    """Reads features of one service, or some features, for any number of rows.

    Definitions are looked at once: nothing is asked of a registry. A reader may be used by many
    threads, and in processes that are forked.
    """

    def __init__(
        self,
        store: StateStore,
        selections: Sequence[AnySelection],
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        terms: Terms = _USUAL,
    ) -> None:
        """Choose features.

        Args:
            store: where the state is.
            selections: features by view, on-demand ones too.
            clock_ms: what the time is for rows that don't say, ms UTC.
            terms: what becomes of a request that can't be answered as it should be.
        """
        self._terms = terms
        self._server = Server(store)
        self._clock_ms = clock_ms
        read = read_for(selections)
        self._views = [ServedView(one.view, one.names) for one in read]
        self._keys = [
            (
                one.view.entity.join_key,
                _KEY_TYPES[one.view.source.column(one.view.entity.join_key).type],
            )
            for one in read
        ]
        self._names = [
            tuple(f"{one.view.name}{SEPARATOR}{name}" for name in one.names) for one in read
        ]
        self._request_types = request_types(selections)
        self._computed = {
            f"{one.view.name}{SEPARATOR}{name}": one.view.feature(name)
            for one in selections
            if isinstance(one, OnDemandSelection)
            for name in one.names
        }
        asked = [f"{one.view.name}{SEPARATOR}{name}" for one in selections for name in one.names]
        self._made_of = {
            name: frozenset(self._computed[name].expression.columns)
            if name in self._computed
            else frozenset((name,))
            for name in asked
        }

    @classmethod
    def open(
        cls, *features: str, service: str | None = None, start: Path | None = None
    ) -> FeatureReader:
        """A reader of the project whose `headrace.toml` is in a folder or above it.

        Args:
            features: `view:feature`, or the name of a view for all of its features.
            service: a feature service, instead.
            start: the folder; None is the current one.

        Raises:
            ConfigurationError: there is no such feature, or settings are wrong.
        """
        settings = load(start or Path.cwd(), os.environ)
        return cls.of(settings, load_project(settings), *features, service=service)

    @classmethod
    def of(
        cls, settings: Settings, project: Project, *features: str, service: str | None = None
    ) -> FeatureReader:
        """A reader of a project that is loaded already, likewise."""
        selections = project.select(features, service)
        terms = _USUAL if service is None else project.services[service].terms
        return cls(open_store(settings), selections, terms=terms)

    def read(self, rows: Sequence[Mapping[str, Any]]) -> list[FeatureRow]:
        """The features of each row.

        Args:
            rows: the join keys, by name; `as_of`, the time asked for in ms UTC, as a datetime or
                as ISO text, if it is not now; `current_event`, the dedup key of the event being
                decided, for features that leave it out; and what on-demand features take from the
                request. Whatever else a row has is passed over.

        Raises:
            BadRecordError: a key, or what the request has to bring, is missing or of another type,
                or a time is no plausible one.
            UnsupportedError: a time is before the earliest that the store can answer for, or lies
                ahead.
            RetryableError: the store doesn't answer, or values are incomplete and the service
                refuses such.
        """
        if isinstance(rows, Mapping | str):
            raise BadRecordError(
                Reason.WRONG_TYPE, "one row was given, expected some", hint="put it into a list"
            )
        now_ms = self._clock_ms()
        queries = [
            ViewQuery(
                view,
                [
                    Query(
                        _key(row, name, kind),
                        # Most rows have neither, which must cost them no more than a look.
                        now_ms if (as_of := row.get(AS_OF)) is None else as_of_ms(as_of, now_ms),
                        None if (current := row.get(CURRENT)) is None else _event(current),
                    )
                    for row in rows
                ],
            )
            for view, (name, kind) in zip(self._views, self._keys, strict=True)
        ]
        answers = self._server.read(queries, self._terms)
        found = []
        for at in range(len(rows)):
            values: dict[str, Value] = {}
            for names, answered in zip(self._names, answers, strict=True):
                if answered.layers == NO_LAYERS:
                    values.update(dict.fromkeys(names))
                else:
                    values.update(zip(names, answered.answers[at].values, strict=True))
            if self._computed:
                values = self._with_computed(values, rows[at])
            found.append(FeatureRow(values, self._made_of, queries, answers, at))
        return found

    def _with_computed(self, values: dict[str, Value], row: Mapping[str, Any]) -> dict[str, Value]:
        """What is asked for, of what was read and what a row brings."""
        known = dict(values)
        for name, kind in self._request_types.items():
            if name not in row:
                raise BadRecordError(
                    Reason.MISSING_FIELD,
                    f"a row brings no {name}, which on-demand features take from the request",
                    field=name,
                    hint="give every row one, or null",
                )
            known[name] = request_value(name, kind, row[name])
        return {
            name: value_of(self._computed[name], known) if name in self._computed else values[name]
            for name in self._made_of
        }


def _event(current: object) -> str:
    """The dedup key of the event being decided."""
    if not isinstance(current, str):
        raise BadRecordError(
            Reason.WRONG_TYPE,
            f"{CURRENT} is {current!r}, expected str",
            field=CURRENT,
            hint="give the dedup key of the event being decided, or None",
        )
    return current


def _key(row: Mapping[str, Any], name: str, kind: type) -> Any:
    key = row.get(name)
    if type(key) is not kind:
        found = "missing" if name not in row else f"{key!r}"
        raise BadRecordError(
            Reason.NULL_KEY if key is None else Reason.WRONG_TYPE,
            f"the join key {name} is {found}, expected {kind.__name__}",
            hint="give every row every join key of the features",
        )
    return key
