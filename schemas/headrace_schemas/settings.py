"""The settings of a project: built-in defaults, under `headrace.toml`, under the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.project_file import find_file, read_file, read_toml
from headrace_schemas.setting_kinds import Setting, SettingKind
from headrace_schemas.setting_table import FILE_NAME, SETTINGS
from headrace_schemas.setting_values import Origin, from_environment, from_file, from_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DEFAULT = "default"
_BY_NAME = {setting.name: setting for setting in SETTINGS}


class Options(Mapping[str, str]):
    """Names and texts that may be secret: `str` and `repr` show the names alone."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}=***" for name in self._values)
        return f"Options({shown})"


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """What the project is called, which modules declare its views, and the modes of these."""

    name: str
    definitions: tuple[str, ...]
    modes: Options


@dataclass(frozen=True, slots=True)
class WarehouseSettings:
    """Where the tables are: an absolute path or a URL."""

    path: str
    storage_options: Options


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The engine for commands that name none."""

    default: str


@dataclass(frozen=True, slots=True)
class SparkSettings:
    """How a Spark session is made."""

    master: str
    conf: Options


@dataclass(frozen=True, slots=True)
class OnlineSettings:
    """Which online store there is and where: a file for SQLite, all else for Redis."""

    type: str
    path: Path
    redis_url: str
    redis_options: Options
    timeout: timedelta
    pool: int


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Where Kafka is and how clients reach it."""

    bootstrap_servers: str
    options: Options


@dataclass(frozen=True, slots=True)
class FlinkSettings:
    """Where Flink is, and what it is told besides."""

    rest_address: str
    conf: Options


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How the stream job runs. The directory for checkpoints is an absolute path or a URL."""

    mode: str
    lateness: timedelta
    checkpoint_interval: timedelta
    checkpoint_directory: str
    state_backend: str
    state_changelog: str
    parallelism: int
    transaction_timeout: timedelta


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """How `headrace serve` listens, what it takes on, and whom it answers."""

    host: str
    port: int
    workers: int
    timeout: timedelta
    concurrency: int
    max_kib: int
    max_rows: int
    max_features: int
    auth: str
    keys: Options
    keys_file: Path
    oidc: Options
    tls: Options


@dataclass(frozen=True, slots=True)
class LineageSettings:
    """What is told of runs, to a folder of this machine and, unless `url` is None, to a server."""

    namespace: str
    path: Path
    url: str | None
    options: Options
    spark_listener: str


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Where declared training sets are published, each in a folder of its name: a path or a URL.

    `kept` is how many former sets stay beside each, and beside each that `headrace stage` makes.
    """

    path: str
    kept: int


@dataclass(frozen=True, slots=True)
class FeastSettings:
    """Where Feast keeps its registry."""

    registry: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, and where each of them comes from.

    `root` is the folder of `headrace.toml`, from which definitions are imported; None means
    that there is no such file and the built-in project is used. All paths are absolute. `ingest`
    says by source where its events come from each day, as it is written.
    """

    root: Path | None
    home: Path
    project: ProjectSettings
    warehouse: WarehouseSettings
    ingest: Options
    engine: EngineSettings
    spark: SparkSettings
    online: OnlineSettings
    kafka: KafkaSettings
    flink: FlinkSettings
    stream: StreamSettings
    serving: ServingSettings
    lineage: LineageSettings
    training: TrainingSettings
    feast: FeastSettings
    _sources: Mapping[str, str] = field(repr=False)

    def source_of(self, name: str) -> str:
        """Where the value of a setting such as `engine.default` was found.

        One of `/folder/headrace.toml [engine] default`, `environment HEADRACE_ENGINE_DEFAULT`
        and `default`; options that were put together from two places name both.
        """
        if name not in self._sources:
            raise ConfigurationError.unknown("setting", name, self._sources)
        return self._sources[name]


def load(start: Path, environ: Mapping[str, str]) -> Settings:
    """The settings that hold in the folder `start` under the variables `environ`.

    An environment variable wins over the file, the file over the default; an empty variable
    counts as absent. Options are merged, name by name. Nothing but the file is read.

    Raises ConfigurationError, naming where the value was found and the places looked up.
    """
    start = start.resolve()
    file = find_file(start)
    places = _Places(start, environ, file, read_file(file) if file else {})
    home = _found(_BY_NAME["home"], places, places.base).value
    found = {s.name: _found(s, places, {**places.base, "home": str(home)}) for s in SETTINGS}
    values = {name: one.value for name, one in found.items()}
    return Settings(
        root=file.parent if file else None,
        home=home,
        project=ProjectSettings(
            values["project.name"],
            values["project.definitions"],
            Options(values["project.modes"]),
        ),
        warehouse=WarehouseSettings(
            values["warehouse.path"], Options(values["warehouse.storage_options"])
        ),
        ingest=Options(values["ingest"]),
        engine=EngineSettings(values["engine.default"]),
        spark=SparkSettings(values["spark.master"], Options(values["spark.conf"])),
        online=OnlineSettings(
            type=values["online.type"],
            path=values["online.path"],
            redis_url=values["online.redis_url"],
            redis_options=Options(values["online.redis_options"]),
            timeout=values["online.timeout"],
            pool=values["online.pool"],
        ),
        kafka=KafkaSettings(values["kafka.bootstrap_servers"], Options(values["kafka.options"])),
        flink=FlinkSettings(values["flink.rest_address"], Options(values["flink.conf"])),
        stream=StreamSettings(
            mode=values["stream.mode"],
            lateness=values["stream.lateness"],
            checkpoint_interval=values["stream.checkpoint_interval"],
            checkpoint_directory=values["stream.checkpoint_directory"],
            state_backend=values["stream.state_backend"],
            state_changelog=values["stream.state_changelog"],
            parallelism=values["stream.parallelism"],
            transaction_timeout=values["stream.transaction_timeout"],
        ),
        serving=ServingSettings(
            host=values["serving.host"],
            port=values["serving.port"],
            workers=values["serving.workers"],
            timeout=values["serving.timeout"],
            concurrency=values["serving.concurrency"],
            max_kib=values["serving.max_kib"],
            max_rows=values["serving.max_rows"],
            max_features=values["serving.max_features"],
            auth=values["serving.auth"],
            keys=Options(values["serving.keys"]),
            keys_file=values["serving.keys_file"],
            oidc=Options(values["serving.oidc"]),
            tls=Options(values["serving.tls"]),
        ),
        lineage=LineageSettings(
            namespace=values["lineage.namespace"],
            path=values["lineage.path"],
            url=None if values["lineage.url"] == "none" else values["lineage.url"],
            options=Options(values["lineage.options"]),
            spark_listener=values["lineage.spark_listener"],
        ),
        training=TrainingSettings(values["training.path"], values["training.kept"]),
        feast=FeastSettings(values["feast.registry"]),
        _sources={name: one.source for name, one in found.items()},
    )


def home_in(start: Path, environ: Mapping[str, str]) -> Path:
    """The folder for all data that holds in the folder `start`, whatever other settings say.

    Raises ConfigurationError for a file that is no TOML, or a home that is no path.
    """
    start = start.resolve()
    file = find_file(start)
    places = _Places(start, environ, file, read_toml(file) if file else {})
    home: Path = _found(_BY_NAME["home"], places, places.base).value
    return home


@dataclass(frozen=True, slots=True)
class _Found:
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class _Places:
    """Where values are looked up, besides the defaults."""

    start: Path
    environ: Mapping[str, str]
    file: Path | None
    in_file: dict[str, Any]

    @property
    def base(self) -> dict[str, str]:
        """What defaults may name: the folder of the file, or where the looking began."""
        return {"base": str(self.file.parent if self.file else self.start)}

    def origin(self, setting: Setting, source: str, folder: Path) -> Origin:
        return Origin(source, folder, self.environ.get("HOME", ""), self.described(setting))

    def described(self, setting: Setting) -> str:
        """All places in the order of looking, for people."""
        environment = f"environment {setting.variable}"
        if self.file is None:
            none = f"{FILE_NAME} in {self.start} and above (there is none)"
            return f"{environment}, then {none}, then {_DEFAULT} {setting.default!r}"
        in_file = f"{environment}, then {self.file} {setting.place}"
        if setting.required_in_file:
            return in_file
        return f"{in_file}, then {_DEFAULT} {setting.default!r}"


def _found(setting: Setting, places: _Places, defaults: Mapping[str, str]) -> _Found:
    written = list(_written(setting, places))
    if setting.kind is SettingKind.OPTIONS:
        merged: dict[str, str] = {}
        for one in reversed(written):
            merged |= one.value
        return _Found(merged, " and ".join(one.source for one in written) or _DEFAULT)
    if written:
        return written[0]
    if setting.required_in_file and places.file is not None:
        raise ConfigurationError(
            f"setting {setting.name} is missing: {setting.meaning}",
            hint=f"looked up: {places.described(setting)}",
        )
    origin = places.origin(setting, _DEFAULT, places.start)
    return _Found(from_text(setting, setting.default.format(**defaults), origin), _DEFAULT)


def _written(setting: Setting, places: _Places) -> Iterator[_Found]:
    """What a person wrote, strongest first."""
    if setting.kind is SettingKind.OPTIONS:
        for name in setting.choices:
            if places.environ.get(single := f"{setting.variable}_{name.upper()}"):
                raise ConfigurationError(
                    f"environment {single} is no setting",
                    hint=f"the section is one variable: {setting.variable}='{{\"{name}\": …}}'",
                )
    if text := places.environ.get(setting.variable, ""):
        source = f"environment {setting.variable}"
        origin = places.origin(setting, source, places.start)
        yield _Found(from_environment(setting, text, origin), source)
    if places.file is not None and setting.name in places.in_file:
        source = f"{places.file} {setting.place}"
        origin = places.origin(setting, source, places.file.parent)
        yield _Found(from_file(setting, places.in_file[setting.name], origin), source)
