"""The golden plan of the built-in project's stream: what the feature operator is given.

Run as a program, it writes the golden file anew: `.venv/bin/python tests/golden_plan.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

from headrace_features.fraud import definitions
from headrace_features.project import collect
from headrace_features.stream_plan.plan import compile_plan

FILE = Path(__file__).parent / "golden" / "fraud_plan.json"


def text() -> str:
    """The plan as it is now, one value a line, so that a change can be read."""
    plan = compile_plan(collect("fraud", [definitions]))
    return json.dumps(plan, sort_keys=True, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
