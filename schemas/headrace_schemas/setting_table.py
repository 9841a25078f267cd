"""Every setting, declared once: where it is written, its type, its default and its meaning."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from headrace_schemas.setting_choices import OIDC_OPTIONS, REDIS_OPTIONS

FILE_NAME = "headrace.toml"
#: In place of an address: the service that `headrace up` starts.
EMBEDDED = "embedded"


class SettingKind(StrEnum):
    """What a value is; also how it is written in an environment variable."""

    TEXT = "text"
    NAMES = "names"  # a list in the file, separated by commas in the environment
    PATH = "path"  # relative to the file's folder, or to the current one from the environment
    LOCATION = "path or URL"
    REDIS_URL = "URL of Redis"
    OPTIONS = "options"  # a section in the file, a JSON object in the environment
    NUMBER = "number"  # a positive integer
    DURATION = "duration"  # an integer and a unit, such as 500ms, 10s, 5m, 1h, 7d


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting. `default` is spelled as in the file, with `{base}` and `{home}` filled in.

    `required_in_file` means that a project's file can't do without it: the default is for the
    built-in project. `choices` and `pattern` limit the text, or each of the names; of options
    `choices` limits the names.
    """

    section: str | None
    key: str
    kind: SettingKind
    default: str
    meaning: str
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    required_in_file: bool = False

    @property
    def name(self) -> str:
        """How code and people call it: `engine.default`."""
        return self.key if self.section is None else f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable that overrides it: `HEADRACE_ENGINE_DEFAULT`."""
        return f"HEADRACE_{self.name.replace('.', '_').upper()}"

    @property
    def place(self) -> str:
        """Where it stands inside the file: `[engine] default`."""
        if self.kind is SettingKind.OPTIONS:
            return f"[{self.name}]"
        if self.section is None:
            return self.key
        return f"[{self.section}] {self.key}"


SETTINGS = (
    Setting(
        section=None,
        key="home",
        kind=SettingKind.PATH,
        default="{base}/.headrace",
        meaning="the folder for all data that has no place of its own",
    ),
    Setting(
        section="project",
        key="name",
        kind=SettingKind.TEXT,
        default="fraud",
        pattern="[a-z][a-z0-9_]*",
        required_in_file=True,
        meaning="the name of the project: lower-case letters, digits and underscores",
    ),
    Setting(
        section="project",
        key="definitions",
        kind=SettingKind.NAMES,
        default="headrace_features.fraud.definitions",
        pattern=r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*",
        required_in_file=True,
        meaning="the Python modules that declare sources and views, importable from the"
        f" folder of {FILE_NAME}",
    ),
    Setting(
        section="project",
        key="modes",
        kind=SettingKind.OPTIONS,
        default="",
        meaning="by view: lambda, which batch corrects every day, or kappa, the stream alone",
    ),
    Setting(
        section="warehouse",
        key="path",
        kind=SettingKind.LOCATION,
        default="{home}/warehouse",
        meaning="where the tables are: a folder, or a URL such as s3://bucket/warehouse",
    ),
    Setting(
        section="warehouse",
        key="storage_options",
        kind=SettingKind.OPTIONS,
        default="",
        meaning="access to an object store, by the names of its client; never shown",
    ),
    Setting(
        section=None,
        key="ingest",
        kind=SettingKind.OPTIONS,
        default="",
        meaning="by source: where its files of a day are, with {date}, or kafka for its topic",
    ),
    Setting(
        section="engine",
        key="default",
        kind=SettingKind.TEXT,
        default="local",
        choices=("local", "spark"),
        meaning="what computes features where a command names no engine",
    ),
    Setting(
        section="spark",
        key="master",
        kind=SettingKind.TEXT,
        default="local[*]",
        meaning="the master URL of Spark",
    ),
    Setting(
        section="spark",
        key="conf",
        kind=SettingKind.OPTIONS,
        default="",
        meaning="further properties of Spark; values never shown",
    ),
    Setting(
        section="online",
        key="type",
        kind=SettingKind.TEXT,
        default="sqlite",
        choices=("sqlite", "redis"),
        meaning="the kind of online store",
    ),
    Setting(
        section="online",
        key="path",
        kind=SettingKind.PATH,
        default="{home}/online.db",
        meaning="the file of the SQLite online store",
    ),
    Setting(
        section="online",
        key="redis_url",
        kind=SettingKind.REDIS_URL,
        default=EMBEDDED,
        meaning="where Redis is, as redis://host:port/database; embedded is that of headrace up",
    ),
    Setting(
        section="online",
        key="redis_options",
        kind=SettingKind.OPTIONS,
        default="",
        choices=REDIS_OPTIONS,
        meaning="access to Redis by redis-py's names, such as password; never shown",
    ),
    Setting(
        section="online",
        key="timeout",
        kind=SettingKind.DURATION,
        default="500ms",
        meaning="how long a read waits for Redis",
    ),
    Setting(
        section="online",
        key="pool",
        kind=SettingKind.NUMBER,
        default="16",
        meaning="the greatest number of connections of a process to Redis, to each node of one",
    ),
    Setting(
        section="kafka",
        key="bootstrap_servers",
        kind=SettingKind.TEXT,
        default=EMBEDDED,
        meaning="the brokers as host:port, separated by commas; embedded is that of headrace up",
    ),
    Setting(
        section="kafka",
        key="options",
        kind=SettingKind.OPTIONS,
        default="",
        meaning="further properties of Kafka's clients, such as security.protocol; never shown",
    ),
    Setting(
        section="flink",
        key="rest_address",
        kind=SettingKind.TEXT,
        default=EMBEDDED,
        meaning="the REST address of Flink as host:port; embedded is that of headrace up",
    ),
    Setting(
        section="flink",
        key="conf",
        kind=SettingKind.OPTIONS,
        default="",
        meaning="further options of Flink, for the job and the embedded cluster; never shown",
    ),
    Setting(
        section="stream",
        key="mode",
        kind=SettingKind.TEXT,
        default="immediate",
        choices=("immediate", "ordered"),
        meaning="when events are absorbed: as they come, or behind the watermark",
    ),
    Setting(
        section="stream",
        key="lateness",
        kind=SettingKind.DURATION,
        default="1h",
        meaning="how long before its entity's newest an event may be and still count in full",
    ),
    Setting(
        section="stream",
        key="checkpoint_interval",
        kind=SettingKind.DURATION,
        default="1s",
        meaning="how often state is kept and decisions are committed",
    ),
    Setting(
        section="stream",
        key="checkpoint_directory",
        kind=SettingKind.LOCATION,
        default="{home}/flink/checkpoints",
        meaning="where checkpoints are: a folder, or a URL of a file system that Flink knows; where"
        " another cluster is named, that cluster's own is the default",
    ),
    Setting(
        section="stream",
        key="state_backend",
        kind=SettingKind.TEXT,
        default="hashmap",
        choices=("hashmap", "rocksdb"),
        meaning="where state is while the job runs: in memory, or on disk with checkpoints of"
        " changes alone",
    ),
    Setting(
        section="stream",
        key="state_changelog",
        kind=SettingKind.TEXT,
        default="off",
        choices=("off", "on"),
        meaning="on: every change of state is written as it is made, so that checkpoints hold"
        " nothing up; off: a checkpoint writes state whole",
    ),
    Setting(
        section="stream",
        key="parallelism",
        kind=SettingKind.NUMBER,
        default="2",
        meaning="how many subtasks each operator of the job has",
    ),
    Setting(
        section="stream",
        key="transaction_timeout",
        kind=SettingKind.DURATION,
        default="14m",
        meaning="after so long the broker aborts decisions that are not committed; at most its"
        " transaction.max.timeout.ms",
    ),
    Setting(
        section="serving",
        key="host",
        kind=SettingKind.TEXT,
        default="127.0.0.1",
        meaning="where headrace serve listens: an address of this machine",
    ),
    Setting(
        section="serving",
        key="port",
        kind=SettingKind.NUMBER,
        default="6566",
        meaning="the port of headrace serve",
    ),
    Setting(
        section="serving",
        key="workers",
        kind=SettingKind.NUMBER,
        default="1",
        meaning="how many processes answer",
    ),
    Setting(
        section="serving",
        key="timeout",
        kind=SettingKind.DURATION,
        default="5s",
        meaning="how long a request may take",
    ),
    Setting(
        section="serving",
        key="concurrency",
        kind=SettingKind.NUMBER,
        default="64",
        meaning="how many requests may be at work at once in a process; more are turned away",
    ),
    Setting(
        section="serving",
        key="max_kib",
        kind=SettingKind.NUMBER,
        default="1024",
        meaning="how large a request may be, in units of 1024 bytes",
    ),
    Setting(
        section="serving",
        key="max_rows",
        kind=SettingKind.NUMBER,
        default="1000",
        meaning="how many rows a request may have",
    ),
    Setting(
        section="serving",
        key="max_features",
        kind=SettingKind.NUMBER,
        default="500",
        meaning="how many features a request may name",
    ),
    Setting(
        section="serving",
        key="auth",
        kind=SettingKind.TEXT,
        default="none",
        choices=("none", "keys", "oidc"),
        meaning="who may ask: all, who has an API key, or who has a token of an issuer",
    ),
    Setting(
        section="serving",
        key="keys",
        kind=SettingKind.OPTIONS,
        default="",
        meaning="API keys by names of your own; never shown",
    ),
    Setting(
        section="serving",
        key="keys_file",
        kind=SettingKind.PATH,
        default="{home}/api-keys",
        meaning="the file of further API keys, one a line",
    ),
    Setting(
        section="serving",
        key="oidc",
        kind=SettingKind.OPTIONS,
        default="",
        choices=OIDC_OPTIONS,
        meaning="the issuer of tokens by Feast's names, such as auth_discovery_url and audience",
    ),
    Setting(
        section="serving",
        key="tls",
        kind=SettingKind.OPTIONS,
        default="",
        choices=("ca_certs", "certfile", "keyfile", "keyfile_password"),
        meaning="files of the server's certificate and key, and of the authority of its clients",
    ),
    Setting(
        section="feast",
        key="registry",
        kind=SettingKind.PATH,
        default="{home}/registry.db",
        meaning="the file of the Feast registry",
    ),
)
