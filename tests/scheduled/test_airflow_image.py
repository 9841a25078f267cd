"""Airflow as `compose.yaml` starts it: by its own command and health check."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace_streaming.services.embedded import free_ports
from images import HOST, ROOT, Machine, Services

SECRETS = {"REDIS_PASSWORD": "a-password", "SERVING_KEY": "a-key-of-16-signs"}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """What the image holds; it takes gigabytes, which later runs don't need."""
    folder = tmp_path / "image"
    folder.mkdir()
    yield Machine(folder)
    shutil.rmtree(folder)


@pytest.mark.timeout(600)  # its environment is installed
def test_it_comes_up_with_the_dags_of_the_project_and_their_pool(
    machine: Machine, tmp_path: Path
) -> None:
    port = free_ports(("page",), ())["page"]
    data = tmp_path / "data"
    data.mkdir()
    services = Services(
        machine,
        tmp_path,
        SECRETS,
        {
            "/data": str(data),
            "/project": str(tmp_path / "project"),
            "/opt/airflow": str(ROOT / ".airflow-venv"),
            "/opt/dags": str(ROOT / "orchestration" / "dags"),
            "/opt/headrace-airflow/bin/airflow.sh": str(ROOT / "scripts" / "airflow.sh"),
            "0.0.0.0": HOST,  # noqa: S104 - of a container
            "8080": str(port),
        },
    )
    own = {"AIRFLOW__API__PORT": str(port)}
    with services.started("airflow", **own) as airflow:
        services.until_healthy(airflow)
        with urllib.request.urlopen(f"http://{HOST}:{port}/api/v2/monitor/health") as answer:
            parts = json.load(answer)
        for part in ("metadatabase", "scheduler", "dag_processor", "triggerer"):
            assert parts[part]["status"] == "healthy"
        told = services.run("airflow", "airflow", "dags", "list", "--output", "json", **own)
        assert {one["dag_id"] for one in json.loads(told[told.index("[{") :])} == {
            "daily_features",
            "kappa_replay",
            "maintenance",
            "training_set",
        }
        told = services.run("airflow", "airflow", "pools", "get", "headrace", "--output", "json")
        assert json.loads(told[told.index("[{") :])[0]["slots"] != "0"
        assert f"http://{HOST}:{port}, user admin, password " in airflow.log.read_text()
        assert airflow.end() == 143
