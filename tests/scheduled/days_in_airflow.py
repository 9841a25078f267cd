"""Runs days of a DAG in this process, by `dag.test`: a program for Airflow's environment.

It takes the id of the DAG and the days, and ends with an error unless all tasks of each end well.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from airflow.configuration import conf
from airflow.dag_processing.dagbag import BundleDagBag


def main(name: str, *days: str) -> None:
    """Run the days one after the other."""
    folder = Path(conf.get("core", "dags_folder"))
    bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")
    if bag.import_errors:
        sys.exit(str(bag.import_errors))
    dag = bag.dags[name]
    for day in days:
        run = dag.test(logical_date=datetime.fromisoformat(day).replace(tzinfo=UTC))
        tasks = {ti.task_id: (str(ti.state), ti.try_number) for ti in run.get_task_instances()}
        sys.stderr.write(f"{day}: {run.state} {tasks}\n")
        if run.state != "success":
            sys.exit(f"the run of {day} is {run.state}: {tasks}")


if __name__ == "__main__":
    main(*sys.argv[1:])
