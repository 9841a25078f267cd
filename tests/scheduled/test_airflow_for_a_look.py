"""What `make airflow` starts is of the project that is named, and ends with Ctrl-C."""

from __future__ import annotations

import os
import pty
import shlex
import urllib.request
from pathlib import Path
from urllib.error import URLError

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


def test_it_keeps_all_in_the_home_of_the_project_and_ends_without_a_word(tmp_path: Path) -> None:
    folder = create_project("orchard", tmp_path, 1_700_000_000_000).folder
    port = free_ports(("page",), ())["page"]
    others = {name: text for name, text in os.environ.items() if not name.startswith("HEADRACE_")}
    others.pop("AIRFLOW_HOME", None)
    environ = {**others, "HEADRACE_FOLDER": str(folder), "AIRFLOW__API__PORT": str(port)}
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

    os.write(terminal, _CTRL_C)
    said = read_until(terminal, b"").replace(b"^C", b"").strip()
    _, status = os.waitpid(pid, 0)
    assert (os.waitstatus_to_exitcode(status), said) == (130, b"")
    with pytest.raises(URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/version")
