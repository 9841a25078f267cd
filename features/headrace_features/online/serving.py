"""Values of a view for entities at given times, merged from the online store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.partials.kinds import Value
from headrace_features.partials.plan import plan_of
from headrace_features.state.layout import layout_of
from headrace_features.state.read import EntityState

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.online.sqlite_store import SqliteStateStore


@dataclass(frozen=True, slots=True)
class Query:
    """One entity at a time, with the dedup key of the event being decided, if any."""

    key: str | int
    time_ms: int
    current: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The values of one query.

    Attributes:
        values: by feature name; None where the view has no batch layer at all, which is not the
            same as an entity without events.
        found: whether the entity has state.
        boundary_ms: the layer holds the events before it.
    """

    values: Mapping[str, Value] | None
    found: bool
    boundary_ms: int | None


def view_key(view: FeatureView) -> str:
    """The name under which a view's state is kept: it changes with the view's meaning."""
    return f"{view.name}:v{view.version}:{fingerprint(view)}"


def entity_key(key: str | int) -> bytes:
    """The bytes that name an entity in the store."""
    return str(key).encode()


def read_values(
    store: SqliteStateStore, view: FeatureView, names: Sequence[str], queries: Sequence[Query]
) -> list[Answer]:
    """Features of a view, one answer for each query; all from one generation.

    Raises:
        UnsupportedError: a time is before the earliest that the layer can answer for.
    """
    features = [view.feature(name) for name in names]
    generation, fields = store.read(view_key(view), [entity_key(query.key) for query in queries])
    if generation is None:
        return [Answer(None, found=False, boundary_ms=None)] * len(queries)
    plan, layout = plan_of(view), layout_of(view, generation.boundary_ms)
    answers = []
    for query in queries:
        held = fields.get(entity_key(query.key), {})
        state = EntityState(plan, layout, held, query.time_ms)
        values = {feature.name: state.value(feature, query.current) for feature in features}
        answers.append(Answer(values, found=bool(held), boundary_ms=generation.boundary_ms))
    return answers
