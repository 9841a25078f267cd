"""What `make airflow` starts is of the project that is named, and ends with Ctrl-C."""

from __future__ import annotations

import ipaddress
import os
import pty
import shlex
import subprocess
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError

import psutil
import pytest

from headrace_orchestration.scaffold import create_project
from headrace_streaming.services.embedded import free_ports

_ROOT = Path(__file__).parents[2]
_CTRL_C = b"\x03"

pytestmark = pytest.mark.timeout(600)


def read_until(terminal: int, end: bytes) -> bytes:
    """What a terminal shows up to some bytes, or to where nobody writes to it any more."""
    shown = b""
    while not (end and end in shown):
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    return shown


def own(**settings: str) -> dict[str, str]:
    """The environment of somebody who has set these alone."""
    others = ("HEADRACE_", "AIRFLOW")
    return {
        **{name: text for name, text in os.environ.items() if not name.startswith(others)},
        **settings,
    }


def listening(pid: int) -> dict[int, set[str]]:
    """The ports that a process and all that it has started listen on, and where."""
    found: dict[int, set[str]] = {}
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            for one in process.net_connections("inet"):
                if one.status == psutil.CONN_LISTEN:
                    found.setdefault(one.laddr.port, set()).add(one.laddr.ip)
    return found


def test_it_keeps_all_in_the_home_of_the_project_and_ends_without_a_word(tmp_path: Path) -> None:
    folder = create_project("orchard", tmp_path, 1_700_000_000_000).folder
    port = free_ports(("page",), ())["page"]
    environ = own(
        HEADRACE_FOLDER=str(folder),
        AIRFLOW__API__PORT=str(port),
        AIRFLOW__API__HOST="0.0.0.0",  # noqa: S104 - it is to be no look for others
    )
    script = str(_ROOT / "scripts/airflow.sh")
    pid, terminal = pty.fork()
    if not pid:
        os.execve(script, [script, "show"], environ)  # noqa: S606 - our own script
    shown = read_until(terminal, b"Ctrl-C ends it").decode()
    exports = [shlex.split(line)[1:] for line in shown.splitlines() if line.startswith("export ")]
    told = dict(one.split("=", 1) for line in exports for one in line)
    assert told == {
        "HEADRACE_FOLDER": str(folder),
        "AIRFLOW_HOME": str(folder / ".headrace/airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_ROOT / "orchestration/dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PATH": f"{_ROOT}/.airflow-venv/bin:$PATH",
    }
    assert Path(told["AIRFLOW_HOME"], "airflow.db").exists()
    assert (folder / ".headrace/lineage").is_dir()

    places = listening(pid)
    assert port in places
    assert all(ipaddress.ip_address(ip).is_loopback for ips in places.values() for ip in ips), (
        places
    )

    os.write(terminal, _CTRL_C)
    said = read_until(terminal, b"").replace(b"^C", b"").strip()
    _, status = os.waitpid(pid, 0)
    assert (os.waitstatus_to_exitcode(status), said) == (130, b"")
    with pytest.raises(URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/version")


def test_paths_are_those_of_where_it_was_called(tmp_path: Path) -> None:
    command = tmp_path / "bin" / "headrace"
    command.parent.mkdir()
    command.write_text('#!/bin/sh\necho "$HEADRACE_FOLDER $HEADRACE_HOME $PWD" > told\nexit 78\n')
    command.chmod(0o755)
    shop = tmp_path / "shop"
    shop.mkdir()
    done = subprocess.run(
        [str(_ROOT / "scripts/airflow.sh"), "show"],
        cwd=tmp_path,
        env=own(HEADRACE_FOLDER="shop", HEADRACE_HOME="data", HEADRACE_COMMAND="bin/headrace"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith(f"airflow: the runs of {shop} can't be told\n")
    assert (shop / "told").read_text() == f"{shop} {tmp_path}/data {shop}\n"


def test_what_is_set_is_kept_and_all_else_fits_one_machine(tmp_path: Path) -> None:
    command = tmp_path / "bin" / "airflow"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\nenv\nexit 1\n")
    command.chmod(0o755)
    environ = own(
        AIRFLOW_HOME="airflow",
        AIRFLOW__CORE__EXECUTOR="CeleryExecutor",
        PATH=f"{command.parent}:{os.environ['PATH']}",
    )
    done = subprocess.run(
        [str(_ROOT / "scripts/airflow.sh"), "serve"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    log = tmp_path / "airflow/logs/migrate.log"
    assert done.stderr.endswith(f"airflow: see {log}\n")
    found = dict(line.split("=", 1) for line in log.read_text().splitlines() if "=" in line)
    assert found["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert found["AIRFLOW__CORE__PARALLELISM"] == "4"
    assert found["AIRFLOW__API__HOST"] == "127.0.0.1"
