"""Feast is imported without its checks at run time; nobody else loses theirs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import headrace_features.feast_plugin.repository
import feast, typeguard

# Feast itself would raise: a name has to be a text.
print("entity", feast.Entity(name=3).name)

@typeguard.typechecked
class Own:
    def doubled(self, number: int) -> int:
        return 2 * number

@typeguard.typechecked(collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS)
def total(numbers: list[int]) -> int:
    return sum(numbers)

for call in (lambda: Own().doubled("a"), lambda: total([1, "a"])):
    try:
        call()
    except typeguard.TypeCheckError:
        print("refused")
"""


def test_what_others_have_checked_is_checked_still(tmp_path: Path) -> None:
    # A file of its own, as checks are compiled from it.
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")], check=False, capture_output=True, text=True
    )
    assert run.stdout.splitlines() == ["entity 3", "refused", "refused"], run.stderr
