"""Of which run of Airflow a command is part, for what that records of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

#: Where properties of Spark name variables of a driver that a cluster manager starts.
_DRIVERS = ("spark.yarn.appMasterEnv", "spark.kubernetes.driverEnv")


def run_above(context: Context) -> dict[str, str]:
    """The task as the parent of what it starts, and its DAG's run above all, as variables.

    Nothing where Airflow tells nobody of its runs, as by default: a parent that is never told of
    would be looked for in vain.
    """
    task = context.get("ti")
    if task is None:
        return {}
    try:
        from airflow.providers.openlineage.conf import is_disabled
        from airflow.providers.openlineage.plugins.macros import (
            lineage_parent_id,
            lineage_root_parent_id,
        )
    except ImportError:
        # Another environment of Airflow may do without.
        return {}
    if is_disabled():
        return {}
    return {
        "OPENLINEAGE_PARENT_ID": lineage_parent_id(task),
        "OPENLINEAGE_ROOT_PARENT_ID": lineage_root_parent_id(task),
    }


def driver_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables as properties of Spark, for a driver that isn't started here."""
    return {f"{prefix}.{name}": value for prefix in _DRIVERS for name, value in variables.items()}
