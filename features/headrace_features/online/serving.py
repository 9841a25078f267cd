"""Values of views for entities at given times, merged from the layers of the online store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from headrace_features.definitions.services import Terms
from headrace_features.online.layers import ALWAYS_MS, NEVER_MS, NO_LAYERS, Layers, StreamSpan
from headrace_features.online.served import Query, ServedView, ViewQuery, entity_key
from headrace_features.online.served_versions import ServedVersions
from headrace_features.online.store import Reading, Wanted
from headrace_features.partials.partial import Value
from headrace_features.state.lacking import lacking_of
from headrace_features.state.read import Asked, EntityState, Found
from headrace_schemas.errors import RetryableError

if TYPE_CHECKING:
    from headrace_features.online.store import AsyncReads, StateStore
    from headrace_features.state.batch import Span
    from headrace_features.state.lacking import Lacking

_USUAL = Terms()
#: The layers of a store that doesn't answer: there may be some.
_UNKNOWN = Layers(None, StreamSpan(-1, NEVER_MS, ALWAYS_MS, 0, 0))
#: A boundary moves once a day: one that moves at each of so many reads is none.
_ATTEMPTS = 5
#: So many entities are read faster together than one after the other.
_TOGETHER = 8


class Answer(NamedTuple):
    """The values of one query.

    Attributes:
        values: of each feature, in the order they were asked for.
        incomplete: for each feature whether events of its window may be in no layer; None if
            that is so of none.
        spans: what the windows looked at, in the order of `Asked.windows`, see `Valued`.
        found: whether the entity has state.
    """

    values: Sequence[Value]
    incomplete: Sequence[bool] | None
    spans: Sequence[Span]
    found: bool


class ViewAnswer(NamedTuple):
    """The answers of one view, all from the same layers.

    Attributes:
        layers: of the version that was read.
        answers: one for each query.
        view: that version; the features are those that were asked for.
    """

    layers: Layers
    answers: Sequence[Answer]
    view: ServedView


class Server:
    """Reads values from a store; it remembers the layers, so that a read is one round trip."""

    def __init__(self, store: StateStore, *, as_given: bool = False) -> None:
        """Of a store.

        Args:
            store: what is read.
            as_given: read the views in the namespaces that they have, whichever is served.
        """
        self.store = store
        self._as_given = as_given
        self._known: dict[str, Layers] = {}
        self._versions = ServedVersions()

    def read(self, queries: Sequence[ViewQuery], terms: Terms = _USUAL) -> list[ViewAnswer]:
        """The values of all views, each from one generation.

        Raises:
            UnsupportedError: a time is before the earliest that the batch layer can answer for.
            RetryableError: the store doesn't answer, its boundaries move too fast, or values are
                incomplete and the terms refuse such.
        """
        try:
            answers = self._read(queries, terms.max_lag_ms)
        except RetryableError:
            if terms.unavailable == "fail":
                raise
            return [_empty(query) for query in queries]
        return _accepted(queries, answers, terms)

    async def read_async(
        self, store: AsyncReads, queries: Sequence[ViewQuery], terms: Terms = _USUAL
    ) -> list[ViewAnswer]:
        """The same as `read`, from a store that no thread has to wait for."""
        try:
            answers = await self._read_async(store, queries, terms.max_lag_ms)
        except RetryableError:
            if terms.unavailable == "fail":
                raise
            return [_empty(query) for query in queries]
        return _accepted(queries, answers, terms)

    def _read(self, queries: Sequence[ViewQuery], lag_ms: int) -> list[ViewAnswer]:
        if not queries:
            return []
        for _ in range(_ATTEMPTS):
            versions = self._versions
            known, asked = self._asked(versions.of(queries), lag_ms)
            reading = self.store.read(known, [w for one in asked for w in one.wanted()])
            if reading.versions != versions.number and not self._as_given:
                self._versions = ServedVersions.read(self.store)
                continue
            answers = self._answers(asked, reading)
            if answers is not None:
                return answers
        raise _restless()

    async def _read_async(
        self, store: AsyncReads, queries: Sequence[ViewQuery], lag_ms: int
    ) -> list[ViewAnswer]:
        if not queries:
            return []
        for _ in range(_ATTEMPTS):
            versions = self._versions
            known, asked = self._asked(versions.of(queries), lag_ms)
            reading = await store.read_async(known, [w for one in asked for w in one.wanted()])
            if reading.versions != versions.number and not self._as_given:
                self._versions = await asyncio.to_thread(ServedVersions.read, self.store)
                continue
            answers = self._answers(asked, reading)
            if answers is not None:
                return answers
        raise _restless()

    def _asked(
        self, queries: Sequence[ViewQuery], lag_ms: int
    ) -> tuple[Mapping[str, Layers], list[_AskedOf]]:
        """The layers of all views as they are known, and what queries need of the store then."""
        # Another thread may learn of a new boundary meanwhile: all of one view goes by the same.
        known = {one.view.key: self._known.get(one.view.key, NO_LAYERS) for one in queries}
        return known, [_AskedOf(one, known[one.view.key], lag_ms) for one in queries]

    def _answers(self, asked: Sequence[_AskedOf], reading: Reading) -> list[ViewAnswer] | None:
        """None if what was asked for is no longer what there is."""
        self._known.update(reading.layers)
        if reading.found is None:
            return None
        found = iter(reading.found)
        return [one.answer(reading.layers[one.view.key], found) for one in asked]


class _AskedOf:
    """What a query needs of the store under some layers; equal queries need it once."""

    def __init__(self, query: ViewQuery, layers: Layers, lag_ms: int) -> None:
        self.view = query.view
        self._lag_ms = lag_ms
        self._queries = query.queries
        self._layout = query.view.layout(layers)
        self._alike: dict[tuple[int, bool], list[Query]] = {}
        leaves_out = query.view.asked.leaves_out
        for one in dict.fromkeys(query.queries):
            shared = one.time_ms, leaves_out and one.current is not None
            self._alike.setdefault(shared, []).append(one)

    def wanted(self) -> Iterator[Wanted]:
        """What to read for queries of one time, and so on.

        Raises:
            UnsupportedError: a time is before the earliest that the batch layer can answer for.
        """
        layout, view = self._layout, self.view
        enough = 1 if layout is None else len(layout.enough)
        for (time_ms, leaves_out), queries in self._alike.items():
            fields: tuple[str, ...] | None = ()
            if layout is not None:
                layout.require_kept(time_ms)
                fields = None if leaves_out else view.fields(layout, time_ms)
            yield Wanted(view.key, [entity_key(one.key) for one in queries], fields, enough)

    def answer(self, layers: Layers, found: Iterator[Sequence[Found]]) -> ViewAnswer:
        """The answers of the query, of what was found for what was wanted."""
        asked = self.view.asked
        answers: dict[Query, Answer] = {}
        for (time_ms, leaves_out), queries in self._alike.items():
            entities = next(found)
            moment = asked.at(time_ms, self._layout)
            if leaves_out or len(queries) < _TOGETHER:
                read = [
                    EntityState(asked, moment, one).read(query.current)
                    for query, one in zip(queries, entities, strict=True)
                ]
            else:
                read = self.view.together.read(moment, entities)
            # Of all entities, but for sessions and where events were refused.
            known_ms = time_ms if self.view.is_late else None
            usual = _missing(asked, moment.spans, layers, self._lag_ms, known_ms)
            for query, (values, spans), one in zip(queries, read, entities, strict=True):
                missing = usual
                lacking = lacking_of(one.stream)
                if spans != moment.spans or lacking is not None:
                    missing = _missing(asked, spans, layers, self._lag_ms, known_ms, lacking)
                there = bool(one.batch or one.stream)
                answers[query] = Answer(values, missing, spans, there)
        return ViewAnswer(layers, [answers[query] for query in self._queries], self.view)


def _accepted(
    queries: Sequence[ViewQuery], answers: list[ViewAnswer], terms: Terms
) -> list[ViewAnswer]:
    """Answers, unless they are incomplete and that is refused."""
    if terms.incomplete == "flag":
        return answers
    for query, answered in zip(queries, answers, strict=True):
        for answer in answered.answers:
            if answer.incomplete is not None:
                feature = query.view.asked.features[answer.incomplete.index(True)]
                raise RetryableError(
                    f"{query.view.view.name} is incomplete: the window of {feature.name} may have"
                    " events that are in no layer of the online store",
                    hint="see: headrace online status",
                )
    return answers


def _empty(query: ViewQuery) -> ViewAnswer:
    """The values of empty windows, all of them incomplete."""
    asked = query.view.asked
    answers = []
    for _, time_ms, _ in query.queries:
        moment = asked.at(time_ms)
        values, spans = EntityState(asked, moment).read()
        answers.append(Answer(values, [True] * len(values), spans, found=False))
    return ViewAnswer(_UNKNOWN, answers, query.view)


def _missing(  # noqa: PLR0913, PLR0917 - what it depends on
    asked: Asked,
    spans: Sequence[Span],
    layers: Layers,
    lag_ms: int,
    known_ms: int | None,
    lacking: Lacking | None = None,
) -> list[bool] | None:
    """For each feature whether a part of its window may be in no layer; None if of none."""
    windows = [layers.incomplete(*span, lag_ms, known_ms) for span in spans]
    if lacking is not None:
        for at, span in enumerate(spans):
            windows[at] = windows[at] or layers.lacks(lacking, *span)
    if not any(windows):
        return None
    missing = [False] * len(asked.features)
    for window, incomplete in zip(asked.windows, windows, strict=True):
        for _, features in window.partials:
            for at, _ in features:
                missing[at] = incomplete
    return missing


def _restless() -> RetryableError:
    return RetryableError(
        "the batch boundary moved at each of several reads", hint="try again shortly"
    )
