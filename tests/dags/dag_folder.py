"""Where the DAGs are, and what they are called by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import DAG

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "orchestration/dags"

Dags = dict[str, "DAG"]
