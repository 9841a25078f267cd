"""A project: the definitions that commands, engines and the registry work on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from traceback import extract_tb
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from headrace_features.definitions.decisions import Decisions
from headrace_features.definitions.gates import Gate
from headrace_features.definitions.on_demand import AnySelection, OnDemandSelection, OnDemandView
from headrace_features.definitions.row_rules import require_references
from headrace_features.definitions.services import FeatureService
from headrace_features.definitions.sources import Entity, EventSource
from headrace_features.definitions.training_sets import TrainingSet
from headrace_features.definitions.views import FeatureView, Selection
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from types import ModuleType

    from headrace_schemas.columns import ColumnType
    from headrace_schemas.settings import Settings

_Named = TypeVar("_Named", Entity, EventSource, FeatureView, FeatureService, Decisions, TrainingSet)

_KINDS = (
    Entity,
    EventSource,
    FeatureView,
    FeatureService,
    Decisions,
    OnDemandView,
    Gate,
    TrainingSet,
)


@dataclass(frozen=True, slots=True)
class Project:
    """Everything declared in a project, by name.

    Attributes:
        namespace: what tells what is made of these definitions from what is made beside it of
            others; "" is the project's first one.
        is_declared: whether code declares it; else it was made of a document.
    """

    name: str
    entities: Mapping[str, Entity]
    sources: Mapping[str, EventSource]
    views: Mapping[str, FeatureView]
    services: Mapping[str, FeatureService]
    decisions: Mapping[str, Decisions]
    on_demand: Mapping[str, OnDemandView] = field(default_factory=dict)
    gates: Mapping[str, Gate] = field(default_factory=dict)
    training_sets: Mapping[str, TrainingSet] = field(default_factory=dict)
    namespace: str = ""
    is_declared: bool = True

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of all sources, each once."""
        return tuple(dict.fromkeys(source.topic for source in self.sources.values()))

    @property
    def full_name(self) -> str:
        """The name with that of the namespace: of jobs, groups and files."""
        return f"{self.name}.{self.namespace}" if self.namespace else self.name

    def source(self, name: str) -> EventSource:
        """The source of that name."""
        return _named("source", self.sources, name)

    def view(self, name: str) -> FeatureView:
        """The feature view of that name."""
        return _named("feature view", self.views, name)

    def service(self, name: str) -> FeatureService:
        """The feature service of that name."""
        return _named("feature service", self.services, name)

    def decision(self, name: str) -> Decisions:
        """The declared decisions of that name."""
        return _named("decisions", self.decisions, name)

    def training_set(self, name: str) -> TrainingSet:
        """The training set of that name."""
        return _named("training set", self.training_sets, name)

    def gate(self, name: str) -> Gate:
        """The gate of the source, view or training set of that name."""
        found = self.find_gate(name)
        if found is None:
            gated = ", ".join(self.gates) or "nothing"
            raise ConfigurationError(f"{name} has no gate", hint=f"gates are declared of: {gated}")
        return found

    def find_gate(self, name: str) -> Gate | None:
        """The gate of the source, view or training set of that name; None where it has none.

        Raises:
            ConfigurationError: there is none of these of that name.
        """
        known = [*self.sources, *self.views, *self.training_sets]
        if name not in known:
            raise ConfigurationError.unknown("source, view or training set", name, known)
        return self.gates.get(name)

    def select(
        self, references: Iterable[str], service: str | None = None
    ) -> tuple[AnySelection, ...]:
        """Features of a service and by reference: "view:feature", or "view" for all of a view.

        Those of on-demand views are among them.

        Raises:
            ConfigurationError: an unknown name, or nothing is asked for.
        """
        names: dict[str, list[str]] = {}
        if service is not None:
            for selection in self.service(service).asked:
                names[selection.view.name] = list(selection.names)
        for reference in references:
            view_name, _, feature = reference.partition(":")
            view = self._asked(view_name)
            chosen = [view.feature(feature).name] if feature else view.feature_names
            names.setdefault(view_name, []).extend(chosen)
        if not names:
            services = ", ".join(self.services) or "none is declared"
            raise ConfigurationError(
                "no features are asked for", hint=f"give --service ({services}) or --feature"
            )
        return tuple(self._selection(view, features) for view, features in names.items())

    def _selection(self, name: str, features: Iterable[str]) -> AnySelection:
        view, distinct = self._asked(name), tuple(dict.fromkeys(features))
        if isinstance(view, OnDemandView):
            return OnDemandSelection(view, distinct)
        return Selection(view, distinct)

    def _asked(self, name: str) -> FeatureView | OnDemandView:
        known: dict[str, FeatureView | OnDemandView] = {**self.views, **self.on_demand}
        if name not in known:
            raise ConfigurationError.unknown("feature view", name, known)
        return known[name]


def _named(kind: str, known: Mapping[str, _Named], name: str) -> _Named:
    if name not in known:
        raise ConfigurationError.unknown(kind, name, known)
    return known[name]


def load_project(settings: Settings) -> Project:
    """The project that the settings name: import its modules and collect what they declare.

    A project is imported once in a process.

    Raises:
        ConfigurationError: a module can't be imported, declares nothing, or two definitions
            share a name.
    """
    return _loaded(settings.root, settings.project.name, settings.project.definitions)


@lru_cache(maxsize=16)
def _loaded(root: Path | None, name: str, definitions: tuple[str, ...]) -> Project:
    if root is None:
        return collect(name, [_imported(module) for module in definitions])
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    with _without_bytecode():
        return collect(name, [_imported(module) for module in definitions])


@contextmanager
def _without_bytecode() -> Iterator[None]:
    """Keep no compiled copies of what is imported inside the block.

    Python takes a compiled copy for current if the source has the same size and was written in the
    same second: a version raised from 1 to 2 right after a run would be overlooked.
    """
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ConfigurationError:
        raise
    except Exception as error:
        # Whatever a user's module raises is a mistake in the definitions, told in one line.
        told = f"{type(error).__name__}: {error}"
        lines = [one for one in extract_tb(error.__traceback__) if one.name == "<module>"]
        if lines:
            # The last one is the user's statement; what it calls is ours, or a library's.
            told = f"line {lines[-1].lineno} of {lines[-1].filename}: {told}"
        raise ConfigurationError(
            f"the definitions module {name!r} can't be imported: {told}",
            hint="see [project] definitions in headrace.toml, or HEADRACE_PROJECT_DEFINITIONS",
        ) from error


_Definition = (
    Entity
    | EventSource
    | FeatureView
    | FeatureService
    | Decisions
    | OnDemandView
    | Gate
    | TrainingSet
)


def _named_by(value: _Definition) -> Iterator[_Definition]:
    """The definitions that one refers to."""
    match value:
        case FeatureView():
            yield from (value.entity, value.source)
        case FeatureService():
            yield from (selection.view for selection in value.asked)
        case OnDemandView():
            yield from (selection.view for selection in value.selections)
        case Decisions():
            yield from (value.source, value.service)
        case Gate():
            yield value.of
        case TrainingSet():
            yield value.service
            yield from value.sources.values()
            if value.entity is not None:
                yield value.entity


def collect(name: str, modules: Iterable[ModuleType]) -> Project:
    """Every definition among the public names of some modules, and those they refer to."""
    found: dict[type, dict[str, object]] = {kind: {} for kind in _KINDS}

    def add(value: _Definition) -> None:
        known = found[type(value)].setdefault(value.name, value)
        if known is not value and known != value:
            message = (
                f"two different definitions of {type(value).__name__} are named {value.name!r}"
            )
            raise ConfigurationError(message, hint="rename one of them")
        for below in _named_by(value):
            add(below)

    names = []
    for module in modules:
        names.append(module.__name__)
        for public, value in vars(module).items():
            if not public.startswith("_") and type(value) in found:
                add(value)
    if not found[FeatureView]:
        message = f"no feature view is declared in {', '.join(names) or 'any module'}"
        raise ConfigurationError(message, hint="assign a FeatureView to a module-level name")
    project = Project(
        name,
        *(
            MappingProxyType(dict(sorted(found[kind].items())))  # type: ignore[arg-type]
            for kind in _KINDS
        ),
    )
    _check_on_demand(project)
    for one in project.training_sets:
        if one in project.sources or one in project.views:
            message = f"a training set and a source or a view are both named {one}"
            raise ConfigurationError(message, hint="rename one of them")
    require_references(project.sources)
    return project


def _check_on_demand(project: Project) -> None:
    """Hold names of on-demand views, and of what requests bring for them, against all others."""
    keys = {entity.join_key for entity in project.entities.values()}
    types: dict[str, ColumnType] = {}
    for view in project.on_demand.values():
        if view.name in project.views:
            message = f"a feature view and an on-demand view are both named {view.name}"
            raise ConfigurationError(message, hint="rename one of them")
        for name, kind in view.request_types.items():
            if name in keys:
                message = f"on-demand view {view.name}: the request column {name!r} is a join key"
                raise ConfigurationError(message, hint="name it otherwise")
            # A row has one value under a name, whoever asks for it.
            if types.setdefault(name, kind) is not kind:
                message = f"the request column {name!r} is {kind} in {view.name}, and {types[name]}"
                raise ConfigurationError(f"{message} elsewhere", hint="rename one of them")
