"""The run that keeps everything from growing for ever."""

from __future__ import annotations

from headrace_orchestration.runs.graph import Graph, Task

MAINTENANCE = "maintenance"
#: When a day's run has long been done, and before people come.
_CRON = "0 4 * * *"
_DUE_S = 6 * 3_600
_LONG_S = 4 * 3_600


def maintenance() -> Graph:
    """What is done every night, whatever the project declares."""
    return Graph(
        name=MAINTENANCE,
        tells="Put small files of tables together, delete what nobody needs any more, and tell how"
        " large everything is.",
        cron=_CRON,
        due_s=_DUE_S,
        tasks=(
            Task(
                name="lake",
                command=("maintain", "lake"),
                tells="Put small files of the lake's tables together; delete those that were"
                " replaced a week ago.",
                timeout_s=_LONG_S,
            ),
            Task(
                name="topics",
                command=("maintain", "topics"),
                tells="Delete the records of topics that the lake has and no window reaches.",
            ),
            Task(
                name="checkpoints",
                command=("maintain", "checkpoints"),
                tells="Delete checkpoints that no deployment goes on from.",
            ),
            Task(
                name="report",
                command=("maintain", "report", "--json"),
                tells="Tell how large state, tables and topics are; its result is the report.",
                after=("lake", "topics", "checkpoints"),
                reports=True,
            ),
        ),
    )
