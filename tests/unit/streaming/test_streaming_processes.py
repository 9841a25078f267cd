from __future__ import annotations

import os
import sys
from pathlib import Path

from headrace_streaming.services.processes import Started, is_alive, start, stop

SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]
DEAF = ["bash", "-c", "trap '' TERM; echo here; sleep 60 & wait; wait"]


def test_a_process_is_alive_until_it_is_stopped(tmp_path: Path) -> None:
    process = start(SLEEP, log=tmp_path / "logs" / "sleep.log", environment=os.environ)
    assert is_alive(process)
    assert os.getsid(process.pid) == process.pid
    stop(process)
    assert not is_alive(process)


def test_what_a_process_says_is_appended_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "sleep.log"
    log.write_text("before\n")
    process = start(SLEEP, log=log, environment=os.environ)
    while "here" not in log.read_text():
        assert is_alive(process)
    stop(process)
    assert log.read_text() == "before\nhere\n"


def test_a_number_that_another_process_has_is_left_alone() -> None:
    other = Started(os.getpid(), "at another time")
    assert not is_alive(other)
    stop(other)


def test_a_process_that_does_not_listen_is_ended_by_force(tmp_path: Path) -> None:
    log = tmp_path / "deaf.log"
    process = start(DEAF, log=log, environment=os.environ)
    while "here" not in log.read_text():
        assert is_alive(process)
    stop(process, patience_s=0.2)
    assert not is_alive(process)
