"""Makes Airflow's DAGs of a project's runs.

It needs Airflow and the standard library alone: what there is to do is read as a document that the
command `headrace` writes, and each task is that command, in an environment of its own.
"""

import importlib.util

if importlib.util.find_spec("airflow") is None:
    raise SystemExit(
        "there is no Airflow in this environment, which has one of its own: make airflow-setup,"
        " then .airflow-venv/bin/airflow"
    )
