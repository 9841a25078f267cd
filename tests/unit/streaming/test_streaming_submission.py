"""What Flink's command and its cluster say, told in one line of the right kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace_features.exclusive import exclusive
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_streaming.job.cluster import refusal_of
from headrace_streaming.job.submission import _refusal, _run

TRACEBACK = """Traceback (most recent call last):
  File "stream.py", line 7, in <module>
headrace_schemas.errors.{error}: {told}
org.apache.flink.client.program.ProgramAbortException: java.lang.RuntimeException
\tat org.apache.flink.client.python.PythonDriver.main(PythonDriver.java:134)
Caused by: java.lang.RuntimeException: Python process exits with code: 1
"""


def works(pid: int) -> bool:
    """Whether a process is there and no corpse that nobody has taken leave of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_may_succeed_later_stays_so_through_the_command_of_flink() -> None:
    told = "no Kafka broker answers at 127.0.0.1:9 (see [kafka] bootstrap_servers)"
    error = _refusal(TRACEBACK.format(error="RetryableError", told=told))
    assert isinstance(error, RetryableError)
    assert str(error) == f"the job was not deployed: {told}"


def test_what_a_person_has_to_change_is_told_as_the_script_did() -> None:
    error = _refusal(TRACEBACK.format(error="ConfigurationError", told="topic x is missing"))
    assert isinstance(error, ConfigurationError)
    assert error.message == "the job was not deployed: topic x is missing"
    error = _refusal("Caused by: java.net.ConnectException: refused\n\tat java.net.Socket")
    assert isinstance(error, ConfigurationError)
    assert error.message == "the job was not deployed: java.net.ConnectException: refused"
    assert _refusal("").message == "the job was not deployed: Flink said nothing"


def test_a_command_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    command = ["bash", "-c", f"sleep 600 & echo $! > {told}.new; mv {told}.new {told}; wait"]
    with pytest.raises(RetryableError, match="has not submitted the job after 1 s"):
        _run(command, os.environ, patience_s=1)
    pid = int(told.read_text())
    while works(pid):
        pass


def test_what_a_killed_command_has_started_keeps_others_waiting_until_it_ends(
    tmp_path: Path,
) -> None:
    lock, told, go_on = tmp_path / "lock", tmp_path / "pid", tmp_path / "go on"
    os.mkfifo(go_on)
    starting = f"""
import os
from pathlib import Path
from headrace_features.exclusive import exclusive
from headrace_schemas.errors import RetryableError
from headrace_streaming.job.submission import _run
waits = "echo $$ > {told}.new; mv {told}.new {told}; read < '{go_on}'"
with exclusive(Path("{lock}"), RetryableError("taken")) as held:
    _run(["bash", "-c", waits], os.environ, held)
"""
    with subprocess.Popen([sys.executable, "-c", starting]) as process:
        while not told.exists():
            pass
        process.kill()
    taken = RetryableError("taken")
    with pytest.raises(RetryableError), exclusive(lock, taken, patience_s=0.3):
        pass
    go_on.write_text("go on\n")
    with exclusive(lock, taken, patience_s=30):
        assert not works(int(told.read_text()))


def test_of_what_flink_answers_the_line_is_shown_that_tells_something() -> None:
    trace = (
        "<Exception on server side:\norg.apache.flink.util.FlinkException: no such savepoint\n"
        "\tat org.apache.flink.runtime.Dispatcher.trigger(Dispatcher.java:1)\n"
        "End of exception on server side>"
    )
    wanted = "org.apache.flink.util.FlinkException: no such savepoint"
    assert refusal_of(json.dumps({"errors": ["Internal server error.", trace]})) == wanted
    missing = "org.apache.flink.runtime.rest.NotFoundException: Job 7 not found"
    assert refusal_of(json.dumps({"errors": [f"{missing}\n\tat java.Thread.run"]})) == missing
    assert refusal_of("<html>\nBad gateway") == "<html>"
    assert refusal_of(json.dumps({"errors": ["Internal server error."]})) == (
        "Internal server error."
    )
    assert not refusal_of("")
