from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace_schemas.setting_table import SETTINGS
from headrace_schemas.settings import load
from headrace_streaming.jars import BROKER
from headrace_streaming.services import flink
from images import COMPOSE, LOCKS, ROOT, compose, described, image, stages

SECRETS = {"REDIS_PASSWORD": "a-password", "SERVING_KEY": "a-key-of-16-signs"}
TARGETS = ("server", "writer", "flink", "spark", "airflow")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """The services of the compose file."""
    found: dict[str, dict[str, Any]] = compose(SECRETS)["services"]
    return found


def pins(lock: str) -> dict[str, str]:
    """The versions that a lock pins, by the names of packages."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", text, re.MULTILINE))


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_only_versions_that_are_tested(target: str) -> None:
    found, tested = pins(LOCKS.get(target, target)), pins("dev")
    assert len(found) > 20
    assert {name: pin for name, pin in found.items() if tested.get(name) != pin} == {}


def test_every_image_that_is_built_on_has_a_version_in_its_name(
    services: dict[str, dict[str, Any]],
) -> None:
    known = stages()
    bases = {stage.base for stage in known.values()} - known.keys()
    used = {service["image"] for service in services.values()} | bases
    assert len(used) > 6
    assert [name for name in used if not re.search(r":v?\d+\.\d+\.\d+", name)] == []


def test_images_are_named_after_the_version_of_this_project(
    services: dict[str, dict[str, Any]],
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    built = {
        service["image"]: service["build"]["target"]
        for service in services.values()
        if "build" in service
    }
    assert built == {f"headrace-{one}:{project['version']}": one for one in TARGETS}


def test_the_broker_is_of_the_version_of_the_embedded_one(
    services: dict[str, dict[str, Any]],
) -> None:
    versions = {jar.version for jar in BROKER.locked() if jar.artifact == "kafka_2.13"}
    assert versions == {services["kafka"]["image"].removeprefix("apache/kafka:")}


@pytest.mark.parametrize("target", TARGETS)
def test_no_image_runs_as_root(target: str) -> None:
    known, name = stages(), target
    while not (users := known[name].all("USER")):
        name = known[name].base
    assert users[-1].isdigit()
    assert users[-1] != "0"


def test_every_service_that_goes_on_is_looked_at(services: dict[str, dict[str, Any]]) -> None:
    going_on = [one for one, service in services.items() if service.get("restart") != "no"]
    assert len(going_on) > 8
    assert [
        one
        for one in going_on
        if described(services[one]).health is None and "build" in services[one]
    ] == []
    assert [
        one
        for one in going_on
        if "build" not in services[one] and "healthcheck" not in services[one]
    ] == []


def test_ports_are_published_to_this_machine_alone(services: dict[str, dict[str, Any]]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert len(published) >= 5
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("missing", SECRETS)
def test_nothing_begins_without_the_secrets(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        compose({name: text for name, text in SECRETS.items() if name != missing})


def test_every_variable_of_ours_is_a_setting_and_has_a_good_value(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    # Two are of the factory of DAGs, which has no settings.
    known = {setting.variable for setting in SETTINGS} | {"HEADRACE_COMMAND", "HEADRACE_FOLDER"}
    for name, service in services.items():
        if "build" not in service:
            continue
        ours = {
            key: text
            for key, text in described(service).environ.items()
            if key.startswith("HEADRACE_")
        }
        assert ours.keys() <= known, name
        settings = load(tmp_path, ours)
        assert settings.online.type == "redis"
        assert dict(settings.online.redis_options) == {"password": SECRETS["REDIS_PASSWORD"]}


def test_what_settings_name_is_a_service_with_that_port(
    services: dict[str, dict[str, Any]],
) -> None:
    settings = yaml.safe_load(COMPOSE.read_text())["x-settings"]
    named = set(re.findall(r"([a-z-]+):(\d+)", " ".join(settings.values())))
    assert named == {
        ("kafka", "9092"),
        ("redis", "6379"),
        ("flink-jobmanager", "8081"),
        ("spark-master", "7077"),
    }
    assert {name for name, _ in named} <= services.keys()
    assert "INTERNAL://kafka:9092" in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert "7077" in services["spark-master"]["command"]


def test_what_is_scraped_is_a_service(services: dict[str, dict[str, Any]]) -> None:
    scraping = yaml.safe_load((ROOT / "docker" / "prometheus.yml").read_text())["scrape_configs"]
    named = {name for one in scraping for found in one["dns_sd_configs"] for name in found["names"]}
    assert named == {"flink-jobmanager", "flink-taskmanager", "spark-master", "spark-worker"}
    assert named <= services.keys()


def test_flink_on_a_cluster_has_all_options_of_the_embedded_one(tmp_path: Path) -> None:
    ports = {"client": 8081, "rpc": 6123, "blob": 6124}
    embedded = {key: str(text) for key, text in flink._configuration(tmp_path, ports).items()}
    text = (ROOT / "docker" / "flink.yaml").read_text()
    ours = {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in yaml.safe_load(text).items()
    }
    others = {key for key, value in embedded.items() if ours.get(key) != value}
    assert others == {
        "jobmanager.rpc.address",
        "jobmanager.bind-host",
        "rest.address",
        "rest.bind-address",
        "taskmanager.host",
        "taskmanager.bind-host",
        "io.tmp.dirs",
        "execution.checkpointing.dir",
        "execution.checkpointing.savepoint-dir",
        "dstl.dfs.base-path",
    }
    assert others - ours.keys() == {"taskmanager.host"}


def test_flink_on_a_cluster_opens_the_modules_that_its_version_needs() -> None:
    shipped = yaml.safe_load((flink.distribution() / "conf" / "config.yaml").read_text())
    ours = yaml.safe_load((ROOT / "docker" / "flink.yaml").read_text())
    assert ours["env.java.opts.all"] == shipped["env"]["java"]["opts"]["all"]


def test_a_key_of_the_server_is_what_its_clients_send(services: dict[str, dict[str, Any]]) -> None:
    environ = described(services["server"]).environ
    assert environ["HEADRACE_SERVING_AUTH"] == "keys"
    assert json.loads(environ["HEADRACE_SERVING_KEYS"]) == {"compose": SECRETS["SERVING_KEY"]}
    assert "HEADRACE_SERVING_AUTH" not in image("server").environ


def test_the_build_is_given_all_that_it_copies_and_no_secrets() -> None:
    given = {
        line.removeprefix("!/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source
        for stage in stages().values()
        for line in stage.all("COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    }
    assert len(copied) > 8
    assert {one for one in copied if not ({one, *map(str, Path(one).parents)} & given)} == set()
    assert "docker" not in given
