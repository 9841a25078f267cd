"""What a replay tells of itself while it goes on."""

from __future__ import annotations

import pytest

from headrace_orchestration.commands.replay import _spelled
from headrace_orchestration.versions.replaying import Progress


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (
            Progress(done=3_000, left=9_000, rate=1_500.0),
            "3,000 of 12,000 records (25 %), 1,500 a second, about 6 s left",
        ),
        (Progress(done=0, left=10, rate=0.0), "0 of 10 records (0 %), 0 a second"),
        (Progress(done=0, left=0, rate=0.0), "0 of 0 records (100 %), 0 a second"),
    ],
)
def test_a_replay_tells_how_far_it_is_how_fast_and_what_is_left(
    progress: Progress, told: str
) -> None:
    assert _spelled(progress) == told
