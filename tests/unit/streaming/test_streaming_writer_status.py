from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace_streaming.writer.status import WriterStatus, write_status


@pytest.mark.parametrize(
    ("ago_s", "problem", "reason"),
    [
        (None, None, "no writer has told of itself yet"),
        (60, None, "the writer has told nothing of late"),
        (-60, "no broker answers", "no broker answers"),
        (-60, None, ""),
    ],
)
def test_who_watches_a_writer_is_told_why_it_is_not_well(
    ago_s: int | None, problem: str | None, reason: str, tmp_path: Path
) -> None:
    if ago_s is not None:
        at_ms = time.time_ns() // 1_000_000 - 1_000 * ago_s
        write_status(tmp_path, "", WriterStatus(pid=1, at_ms=at_ms, problem=problem))
    asked = subprocess.run(
        [sys.executable, "-m", "headrace_streaming.writer.status"],
        env={**os.environ, "HEADRACE_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stderr.strip()) == (int(reason != ""), reason)
