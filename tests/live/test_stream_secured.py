"""A broker that wants TLS and a password: every client of the stream gets in, and tells nobody."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace_features.java import java_home
from headrace_features.project import load_project
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import Settings, load
from headrace_streaming.kafka.clients import kafka_config
from headrace_streaming.kafka.topics import create_topics, topics_of
from headrace_streaming.services import broker, control
from headrace_streaming.services.embedded import free_ports
from stream_cases import transactions
from streams import decisions, deploy, received, send, send_events

PASSWORD = 'a"pass\\word of its own'  # noqa: S105 - of this test's broker


def certified(folder: Path) -> Path:
    """A key store for a broker on this machine; its certificate is beside it as PEM."""
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / "broker.p12"
    keytool = [str(java_home() / "bin" / "keytool"), "-keystore", str(store), "-alias", "broker"]
    secret = ["-storepass", "changeit", "-storetype", "PKCS12"]
    made = ["-genkeypair", "-keyalg", "EC", "-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1"]
    for command in (made, ["-exportcert", "-rfc", "-file", str(folder / "broker.pem")]):
        subprocess.run([*keytool, *secret, *command], check=True, capture_output=True)
    return store


@pytest.fixture
def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of a cluster whose broker is reached with a certificate and a password."""
    (port,) = free_ports(("secured",), set()).values()
    store = certified(tmp_path)
    plain = broker._properties

    def with_listener(data: Path, ports: dict[str, int]) -> dict[str, str]:
        login = (
            f'username="team" password="team" user_team="team" user_app={broker_quoted(PASSWORD)}'
        )
        found = plain(data, ports)
        address = f"SECURED://127.0.0.1:{port}"
        return found | {
            "listeners": f"{found['listeners']},{address}",
            "advertised.listeners": f"{found['advertised.listeners']},{address}",
            "listener.security.protocol.map": (
                f"{found['listener.security.protocol.map']},SECURED:SASL_SSL"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.location": str(store),
            "ssl.keystore.password": "changeit",
            "listener.name.secured.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.secured.plain.sasl.jaas.config": (
                f"org.apache.kafka.common.security.plain.PlainLoginModule required {login};"
            ),
        }

    monkeypatch.setattr(broker, "_properties", with_listener)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "headrace.toml").write_text(
        f"""
[project]
name = "secured"
definitions = ["headrace_features.fraud.definitions"]

[kafka]
bootstrap_servers = "127.0.0.1:{port}"

[kafka.options]
"security.protocol" = "sasl_ssl"
"ssl.ca.location" = "{tmp_path / "broker.pem"}"
"sasl.mechanisms" = "PLAIN"
"sasl.username" = "app"
"sasl.password" = '{PASSWORD}'
"""
    )
    settings = load(tmp_path, {"HEADRACE_HOME": str(tmp_path / "home")})
    try:
        control.up(settings.home, os.environ)
        yield settings
    finally:
        control.down(settings.home)


def broker_quoted(text: str) -> str:
    """A text of the broker's list of users, in a file of properties."""
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + inner.replace("\\", "\\\\") + '"'


def test_a_job_works_over_tls_with_a_password_that_nobody_sees(secured: Settings) -> None:
    config = kafka_config(secured)
    topics = topics_of(load_project(secured))
    with pytest.raises(ConfigurationError, match=r"lets nobody in so: .*Authentication failed"):
        create_topics({**config, "sasl.password": "another"}, topics)
    certificate = {"ssl.ca.location": str(certified(secured.home / "other").with_suffix(".pem"))}
    with pytest.raises(ConfigurationError, match=r"lets nobody in so: .*certificate"):
        create_topics({**config, **certificate}, topics)
    create_topics(config, topics)
    deployed = deploy(secured)
    events = transactions(50, random.Random(5))
    send_events(config, "transactions", "card_id", events)
    send(config, "transactions", [("nobody", b"not JSON")])

    decided = decisions(config, len(events))
    assert sorted(d["id"] for d in decided) == sorted(e["transaction_id"] for e in events)
    assert len(received(config, "dead-letters", 1)) == 1
    assert PASSWORD not in repr(deployed)
    for log in (secured.home / "logs").iterdir():
        assert PASSWORD not in log.read_text(errors="replace")
