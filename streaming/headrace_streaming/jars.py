"""The Java archives of the stream: the embedded broker, Flink's connector, the feature operator."""

from __future__ import annotations

from pathlib import Path

from headrace_features.archives import Archives
from headrace_schemas.errors import ConfigurationError

_HERE = Path(__file__).parent

BROKER = Archives(
    what="the Kafka broker's jars",
    lock=_HERE / "archives" / "broker" / "jgo.lock.toml",
    variable="HEADRACE_BROKER_JARS",
    extra="streaming",
)
CONNECTOR = Archives(
    what="the jars of Flink's connector to Kafka",
    lock=_HERE / "archives" / "connector" / "jgo.lock.toml",
    variable="HEADRACE_CONNECTOR_JARS",
    extra="streaming",
)
#: Compiled by the set-up, and shipped inside the wheel.
OPERATOR = _HERE / "headrace-operator.jar"


def job_jars() -> tuple[Path, ...]:
    """What the stream job takes along to the cluster.

    Raises:
        ConfigurationError: the operator was not compiled, or the connector can't be fetched.
    """
    if not OPERATOR.is_file():
        raise ConfigurationError(
            f"the feature operator is not compiled: there is no {OPERATOR}", hint="run: make setup"
        )
    return (OPERATOR, *CONNECTOR.paths())


if __name__ == "__main__":
    print(*BROKER.paths(), *CONNECTOR.paths(), sep="\n")  # noqa: T201 - as the set-up asks
