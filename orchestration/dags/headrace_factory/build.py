"""DAGs of the runs of a project."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from airflow.configuration import AIRFLOW_HOME
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import (
    DAG,
    Asset,
    BaseOperator,
    CronDataIntervalTimetable,
    DeadlineAlert,
    DeadlineReference,
    Param,
    SyncCallback,
)
from airflow.sdk.exceptions import AirflowFailException

from headrace_factory.document import headrace_command, runs_document
from headrace_factory.operators import HeadraceOperator, spark_operator

#: Made by `airflow pools import pools.json`; a task that keeps two processors busy takes two slots.
POOL = "headrace"
_RETRIES = 6
_RETRY_AFTER = timedelta(minutes=2)
_RETRY_AFTER_MOST = timedelta(hours=1)
_ANSWERED_IN = timedelta(days=7)
#: Of how many runs the usual length is taken.
_USUAL_RUNS = 30
#: Before any event: a back-fill may begin with any day.
_START = datetime(2000, 1, 1, tzinfo=UTC)


def dags_of(folder: Path, prefix: str = "") -> dict[str, DAG]:
    """The DAGs of a project by their ids.

    Args:
        folder: of the project.
        prefix: of the ids, where Airflow has several projects.

    Raises:
        NoRunsError: what there is to do can't be told.
    """
    document = runs_document(folder, Path(AIRFLOW_HOME) / "headrace")
    made = [_dag(run, document, folder, prefix) for run in document["runs"]]
    return {dag.dag_id: dag for dag in made}


def _dag(run: Mapping[str, Any], document: Mapping[str, Any], folder: Path, prefix: str) -> DAG:
    dag = _Dag(
        f"{prefix}{run['name']}",
        description=run["tells"],
        doc_md=run["tells"],
        # A run's day is the interval that has just ended, which plain cron no longer has.
        schedule=CronDataIntervalTimetable(run["cron"], timezone="UTC") if run["cron"] else None,
        start_date=_START,
        catchup=False,
        max_active_runs=1,
        params={one["name"]: _param(one) for one in run["parameters"]},
        deadline=_deadline(run),
        user_defined_macros={"day_of": day_of},
        tags=["headrace", document["project"]],
    )
    made: dict[str, BaseOperator] = {}
    for task in run["tasks"]:
        operator = _operator(task, run, document, folder)
        dag.add_task(operator)
        made[task["name"]] = operator
        for before in task["after"]:
            operator.set_upstream(made[before])
    return dag


class _Dag(DAG):  # type: ignore[misc] # its environment has the types
    """A DAG that `dag.test` can run as well.

    Airflow 3.3 looks the deadline up that such a run has, which it hasn't kept, and fails at the
    very end.
    """

    def test(self, *args: Any, **kwargs: Any) -> Any:
        """Run one, without a deadline."""
        deadline: Any = self.deadline
        self.deadline: Any = None
        try:
            return super().test(*args, **kwargs)
        finally:
            self.deadline = deadline


def _deadline(run: Mapping[str, Any]) -> DeadlineAlert | None:
    if run["due_s"] is None:
        return None
    due = timedelta(seconds=run["due_s"])
    told = {"run": run["name"], "after": str(due)}
    return DeadlineAlert(
        # Not of the day: one that is filled in years later would be late before it began. Nor of
        # the time when a run is queued: Airflow 3.3 fails to queue such a run once more.
        reference=DeadlineReference.AVERAGE_RUNTIME(max_runs=_USUAL_RUNS, min_runs=1),
        interval=due,
        callback=SyncCallback("headrace_factory.late.tell", kwargs=told),
    )


def _param(parameter: Mapping[str, Any]) -> Param:
    if parameter["is_list"]:
        return Param([], type="array", items={"type": "string"}, description_md=parameter["tells"])
    if parameter["is_number"]:
        return Param(type="integer", minimum=1, description_md=parameter["tells"])
    choices = {"enum": parameter["choices"]} if parameter["choices"] else {}
    return Param(type="string", description_md=parameter["tells"], **choices)


def _operator(
    task: Mapping[str, Any], run: Mapping[str, Any], document: Mapping[str, Any], folder: Path
) -> BaseOperator:
    common: dict[str, Any] = {
        "task_id": task["name"],
        "doc_md": task["tells"],
        # A day stands on the one before it.
        "depends_on_past": run["is_daily"],
        "inlets": [Asset(**one) for one in task["reads"]],
        "outlets": [Asset(**one) for one in task["writes"]],
    }
    if task["approves"]:
        return ApprovalOperator(
            subject="Serve version {{ params.version }} of {{ params.view }}?",
            body="```\n{{ ti.xcom_pull(task_ids='" + task["approves"] + "') }}\n```",
            response_timeout=_ANSWERED_IN,
            **common,
        )
    common |= {
        "pool": POOL,
        "pool_slots": task["slots"],
        "retries": _RETRIES,
        "retry_delay": _RETRY_AFTER,
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": _RETRY_AFTER_MOST,
        "execution_timeout": timedelta(seconds=task["timeout_s"]),
    }
    templates = {"date": "{{ day_of(logical_date, data_interval_start) }}"}
    templates |= {one["name"]: f"{{{{ params.{one['name']} }}}}" for one in run["parameters"]}
    lists = {f"{{{one['name']}}}": one["name"] for one in run["parameters"] if one["is_list"]}
    arguments = [
        argument if argument in lists else _filled(argument, templates)
        for argument in task["command"]
    ]
    if task["on_spark"]:
        return spark_operator()(
            folder=str(folder),
            application=document["script"],
            application_args=arguments,
            spark_binary=document["spark_submit"],
            name=task["name"],
            env_vars={"PYSPARK_PYTHON": document["python"]},
            **common,
        )
    return HeadraceOperator(
        command=headrace_command(),
        folder=str(folder),
        arguments=arguments,
        lists=lists,
        reports=task["reports"],
        **common,
    )


def _filled(argument: str, templates: Mapping[str, str]) -> str:
    for name, template in templates.items():
        argument = argument.replace(f"{{{name}}}", template)
    return argument


def day_of(logical_date: Any, data_interval_start: Any) -> str:
    """The day of a run, such as 2024-05-31.

    That is the day of its interval. One by hand at a midnight would by its interval have the day
    before, and be taken for the scheduled run of the day that begins then: it has that day.

    Raises:
        AirflowFailException: the run has none.
    """
    begins = [
        one.astimezone(UTC)
        for one in (logical_date, data_interval_start)
        if isinstance(one, datetime)
    ]
    if not begins:
        raise AirflowFailException(
            "this run has no day: trigger it with one as its logical date, such as 2024-05-31"
        )
    midnights = [one for one in begins if one.time() == time()]
    return f"{(midnights or begins)[0]:%Y-%m-%d}"
