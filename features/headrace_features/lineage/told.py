"""What a run tells: of the data that it reads and writes, and of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from headrace_features.definitions.sources import EventSource
from headrace_features.definitions.views import FeatureView
from headrace_features.lineage.columns import ColumnUse, column_uses
from headrace_features.lineage.places import Place

#: Names of our own facets, as consumers of events see them.
OFFSETS_FACET = "headrace_offsets"
FACTS_FACET = "headrace_facts"


class Span(NamedTuple):
    """Records of a partition: from one offset on to before another."""

    first: int
    before: int


class MadeOf(NamedTuple):
    """By column, of which columns of another place it is made, and how."""

    place: Place
    columns: Mapping[str, Sequence[ColumnUse]]


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of one set of data.

    Attributes:
        place: which it is.
        columns: by name the type of each.
        version: of a table, as Delta counts.
        rows: how many were read or written.
        offsets: of a topic, by partition the records that count.
        made_of: what its columns are made of.
        facts: what else there is to know, by name.
        description: what it is, for people.
        owner: whose it is.
    """

    place: Place
    columns: Mapping[str, str] = field(default_factory=dict)
    version: int | None = None
    rows: int | None = None
    offsets: Mapping[int, Span] = field(default_factory=dict)
    made_of: MadeOf | None = None
    facts: Mapping[str, str | int] = field(default_factory=dict)
    description: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What a run is about to do.

    Attributes:
        job: what is done, such as `ingest.transactions`: the same each time that it is done.
        reads, writes: the data, as far as is known before.
        is_stream: whether it goes on for ever.
    """

    job: str
    reads: tuple[Told, ...] = ()
    writes: tuple[Told, ...] = ()
    is_stream: bool = False


class Outcome(NamedTuple):
    """What a run has read and written."""

    reads: tuple[Told, ...] = ()
    writes: tuple[Told, ...] = ()


def told_of_source(source: EventSource, place: Place) -> Told:
    """What is told of events of a source, wherever they are."""
    columns = {column.name: str(column.type) for column in source.columns}
    return Told(place, columns, description=source.description, owner=source.owner)


def told_of_view(view: FeatureView, place: Place, events: Place) -> Told:
    """What is told of values or state of a view, made of the events at another place."""
    key = view.entity.join_key
    columns = {key: str(view.source.column(key).type)}
    columns |= {feature.name: str(feature.type) for feature in view.features}
    made_of = MadeOf(events, {one.name: column_uses(view, one) for one in view.features})
    return Told(place, columns, made_of=made_of, description=view.description, owner=view.owner)
