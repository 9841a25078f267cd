from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace_streaming.writer.status import WriterStatus, write_status

NOW_MS = time.time_ns() // 1_000_000
LATER_MS = NOW_MS + 3_600_000


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (None, "no writer has told of itself yet"),
        (WriterStatus(pid=1, at_ms=NOW_MS - 60_000), "the writer has told nothing of late"),
        (WriterStatus(pid=1, at_ms=LATER_MS, problem="no broker answers"), "no broker answers"),
        (WriterStatus(pid=1, at_ms=LATER_MS), ""),
    ],
)
def test_who_watches_a_writer_is_told_why_it_is_not_well(
    told: WriterStatus | None, reason: str, tmp_path: Path
) -> None:
    if told is not None:
        write_status(tmp_path, "", told)
    asked = subprocess.run(
        [sys.executable, "-m", "headrace_streaming.writer.status"],
        env={**os.environ, "HEADRACE_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stderr.strip()) == (int(reason != ""), reason)
