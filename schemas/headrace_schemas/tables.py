"""The names of tables and where each one lies, relative to the warehouse."""

from __future__ import annotations

import re

from headrace_schemas.errors import ConfigurationError

#: The column by which tables are partitioned: the UTC date of the event time.
EVENT_DATE = "event_date"

#: Where an event of a bronze table was in Kafka; null for one that came in a file.
KAFKA_TOPIC = "_kafka_topic"
KAFKA_PARTITION = "_kafka_partition"
KAFKA_OFFSET = "_kafka_offset"

#: Distributions that gates compare days with, and what gates said of days.
BASELINES = "quality.baselines"
VERDICTS = "quality.verdicts"

#: The tables of values at every event, and those of tiles.
FEATURES = "features"
TILES = "tiles"
#: Those of declared training sets.
TRAINING = "training"

#: All names before the dot, but of tables that sources name themselves.
SCHEMAS = (
    "bronze",
    FEATURES,
    "healed",
    "quality",
    "quarantine",
    "spines",
    "staged",
    TILES,
    TRAINING,
)

# Shorter than what any catalogue or file system allows; no dot, slash or `..` can get through.
_PART = re.compile("[a-z][a-z0-9_]{0,126}")


def bronze_table(source: str) -> str:
    """Where the events of a source land, unless it names a table of its own."""
    return _joined("bronze", source)


def quarantine_table(source: str) -> str:
    """Where the refused rows of a source are kept, each with its reasons."""
    return _joined("quarantine", source)


def dispositions_table(source: str) -> str:
    """Where it is kept what has become of the refused rows of a source."""
    return _joined("dispositions", source)


def features_table(view: str, version: int) -> str:
    """Where the history of one version of a feature view is kept."""
    return _of_view(FEATURES, view, version)


def tiles_table(view: str, version: int) -> str:
    """Where the tiles of one version of a feature view are kept."""
    return _of_view(TILES, view, version)


def training_table(name: str) -> str:
    """Where the rows of a declared training set are kept, with their features."""
    return _joined(TRAINING, name)


def spine_table(name: str) -> str:
    """Where the rows of a declared training set are kept before they have features."""
    return _joined("spines", name)


def staged_table(place: str) -> str:
    """Whose lease whoever publishes shards at a place holds; it has no rows.

    Args:
        place: the name of the place, as `headrace_batch.staging.places` gives it.
    """
    return _joined("staged", place)


def healed_table(view: str, version: int) -> str:
    """Where it is kept which values of one version of a feature view late events had been off."""
    return _of_view("healed", view, version)


def relative_path(table: str) -> str:
    """The folder of a table below the warehouse: `bronze.transactions` → `bronze/transactions`.

    Raises ConfigurationError for anything but two names joined by a dot, so that no path leads
    out of the warehouse.
    """
    parts = table.split(".")
    if len(parts) != 2:  # noqa: PLR2004  (the two that are named in the message)
        raise ConfigurationError(
            f"table {table!r} is not of the form schema.name", hint="such as bronze.transactions"
        )
    return "/".join(_checked(part, table) for part in parts)


def _of_view(schema: str, view: str, version: int) -> str:
    if version < 1:
        raise ConfigurationError(
            f"version {version} of feature view {view!r} has no table",
            hint="versions are counted from 1",
        )
    return _joined(schema, f"{view}_v{version}")


def _joined(schema: str, name: str) -> str:
    return f"{schema}.{_checked(name, f'{schema}.{name}')}"


def _checked(part: str, table: str) -> str:
    if not _PART.fullmatch(part):
        raise ConfigurationError(
            f"table {table!r} has a part that is no name: {part!r}",
            hint="lower-case letters, digits and underscores, beginning with a letter,"
            " at most 127 characters",
        )
    return part
