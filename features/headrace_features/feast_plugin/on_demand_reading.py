"""On-demand features in an online request: what they read beside the others, and their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from feast import FeatureService, OnDemandFeatureView
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from google.protobuf.timestamp_pb2 import Timestamp

from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.definitions.on_demand import OnDemandFeature, OnDemandView
from headrace_features.definitions.views import SEPARATOR, FeatureView, Selection
from headrace_features.feast_plugin.changes import FINGERPRINT_TAG, UNREGISTERED
from headrace_features.feast_plugin.entity_rows import plain_values
from headrace_features.feast_plugin.objects import is_ours
from headrace_features.feast_plugin.responses import read_status, value_proto
from headrace_features.on_demand import Value, request_value, value_of
from headrace_features.online.layers import NO_LAYERS
from headrace_features.online.served import Query, ServedView, ViewQuery
from headrace_features.online.serving import ViewAnswer
from headrace_schemas.columns import ColumnType
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_features.project import Project

#: Different choices of features that are remembered: clients make them up.
_SELECTIONS = 1_000
#: Of the statuses of what a value is computed from, the first of these is its own.
_WORST_FIRST = (FieldStatus.OUTSIDE_MAX_AGE, FieldStatus.NOT_FOUND)


class OnDemandViews:
    """The on-demand views of a project, asked for as the registry has them."""

    def __init__(self, project: Project) -> None:
        """Prepare the views of `project`."""
        self._views = project.on_demand
        self._fingerprints = {name: fingerprint(view) for name, view in self._views.items()}
        self._served: dict[Selection, ServedView] = {}

    def for_feast(
        self, features: list[str] | FeatureService, columns: Mapping[str, Sequence[Any]]
    ) -> Mapping[str, Sequence[Any]]:
        """The columns of a request, with a 0 for each value that is brought for our views.

        Feast only has to see that they are there: it guesses types from values, and takes no
        column of nulls.
        """
        if isinstance(features, FeatureService):
            asked = {projection.name for projection in features.feature_view_projections}
        else:
            asked = {reference.partition(":")[0] for reference in features}
        ours = asked & self._views.keys()
        brought = {name for view in ours for name in self._views[view].request_types}
        if not brought:
            return columns
        return {
            name: [0] * len(values) if name in brought else values
            for name, values in columns.items()
        }

    def reading(
        self,
        tables: Iterable[OnDemandFeatureView],
        references: Iterable[str],
        columns: Mapping[str, Sequence[Any]],
        *,
        full_feature_names: bool,
    ) -> OnDemandReading:
        """What a request wants of those of the on-demand views that are ours.

        Args:
            tables: the on-demand views that Feast finds to be asked for.
            references: "view:feature" for everything that is asked for.
            columns: what the request brings.
            full_feature_names: whether features are named with their view.

        Raises:
            ConfigurationError: a view doesn't mean what was registered.
            BadRecordError: a value that the request brings doesn't fit.
        """
        reading = OnDemandReading()
        asked = [reference.partition(":") for reference in references]
        read: dict[FeatureView, dict[str, None]] = {}
        for table in tables:
            if not is_ours(table):
                continue
            view = self._registered(table)
            shown_as: str = table.projection.name_to_use()  # type: ignore[no-untyped-call]
            names = [feature for name, _, feature in asked if name == shown_as]
            prefix = f"{shown_as}{SEPARATOR}" if full_feature_names else ""
            reading.wanted.extend(_Wanted(prefix + name, view.feature(name)) for name in names)
            for one in view.reads(names):
                read.setdefault(one.view, {}).update(dict.fromkeys(one.names))
            for name, kind in view.request_types.items():
                values = (request_value(name, kind, one) for one in plain_values(columns[name]))
                reading.brought[name] = _Brought(kind, list(values))
        reading.reads = [self._view(Selection(view, tuple(names))) for view, names in read.items()]
        return reading

    def _registered(self, table: OnDemandFeatureView) -> OnDemandView:
        if self._fingerprints.get(table.name) != table.tags[FINGERPRINT_TAG]:
            raise ConfigurationError(
                f"on-demand view {table.name} is not registered as it is declared",
                hint=UNREGISTERED,
            )
        return self._views[table.name]

    def _view(self, selection: Selection) -> ServedView:
        served = self._served.get(selection)
        if served is None:
            if len(self._served) >= _SELECTIONS:
                self._served.clear()
            served = self._served[selection] = ServedView(selection.view, selection.names)
        return served


class Computed(NamedTuple):
    """The values of one on-demand feature for the rows of a request."""

    column: str
    type: ColumnType
    values: list[Value]
    statuses: list[FieldStatus.ValueType]


class _Wanted(NamedTuple):
    """A feature, and the name of its column."""

    column: str
    feature: OnDemandFeature


class _Brought(NamedTuple):
    """What the rows of a request bring for a column."""

    type: ColumnType
    values: list[Value]


class OnDemandReading:
    """What one request wants of on-demand views.

    Attributes:
        wanted: the features, in the order of their columns.
        brought: what the request brings, by name.
        reads: the features of other views that these are computed from.
    """

    def __init__(self) -> None:
        """Want nothing yet."""
        self.wanted: list[_Wanted] = []
        self.brought: dict[str, _Brought] = {}
        self.reads: list[ServedView] = []
        self._places: list[int] = []

    @property
    def integers(self) -> list[str]:
        """The columns that are integers."""
        return [one.column for one in self.wanted if one.feature.type is ColumnType.INT64]

    def beside(
        self, asked: Sequence[ViewQuery], queries: Callable[[FeatureView], list[Query]]
    ) -> list[ViewQuery]:
        """What has to be read beside what is asked for anyway.

        Args:
            asked: what is read for its own sake.
            queries: the entities and times of the rows, for a view.
        """
        added: list[ViewQuery] = []
        for served in self.reads:
            wanted = ViewQuery(served, queries(served.view))
            every = [*asked, *added]
            place = next((at for at, one in enumerate(every) if _covers(one, wanted)), len(every))
            if place == len(every):
                added.append(wanted)
            self._places.append(place)
        return added

    def restore(self, response: GetOnlineFeaturesResponse) -> None:
        """Put what the request brings where `for_feast` has left zeros, for views of Feast's."""
        for name, vector in zip(response.metadata.feature_names.val, response.results, strict=True):
            if name in self.brought:
                kind, values = self.brought[name]
                del vector.values[:]
                vector.values.extend(value_proto(kind, value) for value in values)

    def take_away(self, response: GetOnlineFeaturesResponse) -> None:
        """Take what the request has brought out of a response."""
        for name in self.brought:
            # Before any features: one of them may have the same name.
            at = list(response.metadata.feature_names.val).index(name)
            del response.metadata.feature_names.val[at]
            del response.results[at]

    def computed(
        self, queries: Sequence[ViewQuery], answers: Sequence[ViewAnswer], rows: int
    ) -> Iterator[Computed]:
        """The values of each feature.

        A value has the status of what it is computed from, if that is not found or incomplete.

        Args:
            queries: what was asked, and after it what was read beside.
            answers: the answers to these.
            rows: how many there are.
        """
        columns = {name: brought.values for name, brought in self.brought.items()}
        statuses: dict[str, list[FieldStatus.ValueType]] = {}
        for served, place in zip(self.reads, self._places, strict=True):
            _read(served, queries[place], answers[place], columns, statuses)
        for column, feature in self.wanted:
            names = feature.expression.columns
            read = [statuses[name] for name in names if name in statuses]
            values = [
                value_of(feature, {name: columns[name][row] for name in names})
                for row in range(rows)
            ]
            told = [_status(value, [one[row] for one in read]) for row, value in enumerate(values)]
            yield Computed(column, feature.type, values, told)


def fill_computed(response: GetOnlineFeaturesResponse, computed: Iterable[Computed]) -> None:
    """Add a column for each on-demand feature to a response."""
    for one in computed:
        response.metadata.feature_names.val.append(one.column)
        vector = response.results.add()
        vector.values.extend(value_proto(one.type, value) for value in one.values)
        vector.statuses.extend(one.statuses)
        vector.event_timestamps.extend([Timestamp()] * len(one.values))


def _covers(found: ViewQuery, wanted: ViewQuery) -> bool:
    """Whether what is read already has all that is wanted.

    Views of one name have different definitions where code has moved on; what a registered
    on-demand view reads of them means the same in both, by its fingerprint.
    """
    return (
        found.view.view.name == wanted.view.view.name
        and {*wanted.view.asked.features} <= {*found.view.asked.features}
        and found.queries == wanted.queries
    )


def _read(
    served: ServedView,
    query: ViewQuery,
    answered: ViewAnswer,
    columns: dict[str, list[Value]],
    statuses: dict[str, list[FieldStatus.ValueType]],
) -> None:
    """Add the values and statuses of what a view is read for, by `view__feature`."""
    nothing = answered.layers == NO_LAYERS
    places = {feature.name: at for at, feature in enumerate(query.view.asked.features)}
    for feature in served.asked.features:
        at, name = places[feature.name], f"{served.view.name}{SEPARATOR}{feature.name}"
        # As everywhere: of a view without any layer nothing is known.
        columns[name] = [None if nothing else one.values[at] for one in answered.answers]
        statuses[name] = [read_status(one, at, nothing=nothing) for one in answered.answers]


def _status(value: Value, read: Sequence[FieldStatus.ValueType]) -> FieldStatus.ValueType:
    worst = next((status for status in _WORST_FIRST if status in read), None)
    if worst is not None:
        return worst
    return FieldStatus.NULL_VALUE if value is None else FieldStatus.PRESENT
