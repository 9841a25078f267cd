"""Properties of Kafka's clients mean the same in librdkafka's names and in Java's."""

from __future__ import annotations

import pytest

from headrace_schemas.errors import ConfigurationError
from headrace_schemas.kafka_clients import java_properties, unreachable

FILES = {"ca.pem": "CA", "client.pem": "CERTIFICATE", "client.key": "KEY"}


def read(path: str) -> str:
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory", path)
    return FILES[path]


def test_what_both_name_alike_stays() -> None:
    config = {"bootstrap.servers": "a:1,b:2", "isolation.level": "read_committed"}
    assert java_properties(config, read) == config


def test_certificates_travel_inside_the_properties() -> None:
    config = {
        "security.protocol": "ssl",
        "ssl.ca.location": "ca.pem",
        "ssl.certificate.location": "client.pem",
        "ssl.key.location": "client.key",
        "ssl.key.password": "secret",
        "ssl.endpoint.identification.algorithm": "none",
    }
    assert java_properties(config, read) == {
        "security.protocol": "SSL",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": "CA",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": "CERTIFICATE",
        "ssl.keystore.key": "KEY",
        "ssl.key.password": "secret",
        "ssl.endpoint.identification.algorithm": "",
    }
    assert java_properties({"ssl.ca.pem": "CA"}, read)["ssl.truststore.certificates"] == "CA"


@pytest.mark.parametrize(
    ("mechanism", "module"),
    [("PLAIN", "plain.PlainLoginModule"), ("SCRAM-SHA-512", "scram.ScramLoginModule")],
)
def test_a_user_logs_in_by_the_module_of_the_mechanism(mechanism: str, module: str) -> None:
    config = {
        "sasl.mechanisms": mechanism,
        "sasl.username": "me",
        "sasl.password": 'a "b" \\ c',
    }
    assert java_properties(config, read, "shaded.kafka") == {
        "sasl.mechanism": mechanism,
        "sasl.jaas.config": f"shaded.kafka.common.security.{module} required"
        ' username="me" password="a \\"b\\" \\\\ c";',
    }


def test_what_can_not_be_translated_is_said() -> None:
    with pytest.raises(ConfigurationError, match=r"ssl\.ca\.location .* names gone\.pem, which"):
        java_properties({"ssl.ca.location": "gone.pem"}, read)
    with pytest.raises(ConfigurationError, match=r"mechanism with a user 'GSSAPI'.*known: PLAIN"):
        java_properties({"sasl.mechanism": "GSSAPI", "sasl.username": "me"}, read)


def test_a_broker_that_does_not_answer_is_named() -> None:
    assert str(unreachable("a:1")).startswith("no Kafka broker answers at a:1 (see [kafka]")
