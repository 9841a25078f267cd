"""The properties of Kafka's clients: named as librdkafka does, and as the clients in Java do.

Settings are given in librdkafka's names, which clients in Python take as they are. Most names are
common to both; those of certificates, users and passwords are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headrace_schemas.errors import ConfigurationError, RetryableError

#: Where Kafka's own classes are, unless an archive has them under names of its own.
KAFKA_PACKAGE = "org.apache.kafka"

_LOGIN_MODULES = {
    "PLAIN": "common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "common.security.scram.ScramLoginModule",
}
#: What stands in a property itself in Java, and may be in a file for librdkafka.
_PEM = (
    ("ssl.ca", "ssl.truststore.certificates", "ssl.truststore.type"),
    ("ssl.certificate", "ssl.keystore.certificate.chain", "ssl.keystore.type"),
    ("ssl.key", "ssl.keystore.key", "ssl.keystore.type"),
)


def unreachable(servers: str) -> RetryableError:
    """The error for a broker that doesn't answer."""
    return RetryableError(
        f"no Kafka broker answers at {servers}",
        hint="see [kafka] bootstrap_servers; the embedded one: headrace status, headrace up",
    )


def java_properties(
    config: Mapping[str, str], read: Callable[[str], str], package: str = KAFKA_PACKAGE
) -> dict[str, str]:
    """The properties of a client in Java that mean what some of librdkafka's mean.

    What files hold is put into the properties, so that other machines need no such files. A
    property that isn't about TLS or SASL stays as it is.

    Args:
        config: properties as librdkafka names them.
        read: gives the text of a file.
        package: where Kafka's classes are.

    Raises:
        ConfigurationError: a file can't be read, or users can't log in that way.
    """
    left = dict(config)
    found: dict[str, str] = {}
    for prefix, name, kind in _PEM:
        place, text = left.pop(f"{prefix}.location", ""), left.pop(f"{prefix}.pem", "")
        if place or text:
            found |= {name: text or _text(f"{prefix}.location", place, read), kind: "PEM"}
    mechanism = left.pop("sasl.mechanisms", "") or left.pop("sasl.mechanism", "")
    if mechanism:
        found["sasl.mechanism"] = mechanism
    user, password = left.pop("sasl.username", ""), left.pop("sasl.password", "")
    if user:
        found["sasl.jaas.config"] = _login(mechanism, user, password, package)
    if left.get("ssl.endpoint.identification.algorithm") == "none":
        left["ssl.endpoint.identification.algorithm"] = ""
    if "security.protocol" in left:
        left["security.protocol"] = left["security.protocol"].upper()
    return {**left, **found}


def _text(name: str, place: str, read: Callable[[str], str]) -> str:
    try:
        return read(place)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{name} of [kafka.options] names {place}, which can't be read: {error}",
            hint="it has to be a file of PEM text",
        ) from error


def _login(mechanism: str, user: str, password: str, package: str) -> str:
    if mechanism not in _LOGIN_MODULES:
        raise ConfigurationError.unknown("sasl.mechanism with a user", mechanism, _LOGIN_MODULES)
    module = f"{package}.{_LOGIN_MODULES[mechanism]}"
    return f"{module} required username={_quoted(user)} password={_quoted(password)};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
