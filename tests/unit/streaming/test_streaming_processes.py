from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from headrace_features.processes import Started, is_alive
from headrace_streaming.services.processes import start, stop

SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]
DEAF = ["bash", "-c", "trap '' TERM; echo here; sleep 60 & wait; wait"]


def started(command: list[str], log: Path) -> Started:
    noted: list[Started] = []
    start(command, log=log, environment=os.environ, note=noted.append)
    (process,) = noted
    return process


def test_a_process_is_alive_until_it_is_stopped(tmp_path: Path) -> None:
    process = started(SLEEP, tmp_path / "logs" / "sleep.log")
    assert is_alive(process)
    assert os.getsid(process.pid) == process.pid
    stop(process)
    assert not is_alive(process)


def test_what_a_process_says_is_appended_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "sleep.log"
    log.write_text("before\n")
    process = started(SLEEP, log)
    while "here" not in log.read_text():
        assert is_alive(process)
    stop(process)
    assert log.read_text() == "before\nhere\n"


def test_a_process_works_only_once_it_is_noted(tmp_path: Path) -> None:
    log = tmp_path / "sleep.log"
    noted: list[Started] = []

    def note(process: Started) -> None:
        noted.append(process)
        assert is_alive(process)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(SLEEP, log=log, environment=os.environ, note=note)
    while is_alive(noted[0]):
        assert log.read_text() == ""
    assert log.read_text() == ""


def test_a_process_ends_with_a_command_that_is_killed_before_it_noted_it(tmp_path: Path) -> None:
    log, told = tmp_path / "sleep.log", tmp_path / "told"
    waits, goes = os.pipe()
    killed = os.fork()
    if killed == 0:

        def note(process: Started) -> None:
            told.write_text(f"{process.pid} {process.started}")
            os.write(goes, b"x")
            signal.pause()

        start(SLEEP, log=log, environment=os.environ, note=note)
        os._exit(1)
    os.read(waits, 1)
    os.close(waits)
    os.close(goes)
    number, _, time = told.read_text().partition(" ")
    process = Started(int(number), time)
    assert is_alive(process)
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    while is_alive(process):
        assert log.read_text() == ""
    assert log.read_text() == ""


def test_a_command_that_is_not_there_is_told_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "none.log"
    process = started([str(tmp_path / "none")], log)
    while is_alive(process):
        pass
    assert str(tmp_path / "none") in log.read_text()


def test_a_number_that_another_process_has_is_left_alone() -> None:
    other = Started(os.getpid(), "at another time")
    assert not is_alive(other)
    stop(other)


def test_a_process_that_does_not_listen_is_ended_by_force(tmp_path: Path) -> None:
    log = tmp_path / "deaf.log"
    process = started(DEAF, log)
    while "here" not in log.read_text():
        assert is_alive(process)
    stop(process, patience_s=0.2)
    assert not is_alive(process)
