"""A run as data: its tasks, each one command of Headrace, and what has to be done before each.

A scheduler reads them as JSON. What depends on the run stands in commands as ``{date}`` or as the
name of a parameter in braces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from headrace_schemas.errors import ConfigurationError

#: In a command: the day of a run, such as 2024-05-31.
DATE = "{date}"
#: What computes uses all processors that two slots stand for.
BUSY = 2


class Parameter(msgspec.Struct, frozen=True):
    """What who starts a run says.

    Attributes:
        name: stands in braces in commands.
        tells: what it means.
        choices: the values that will do; none is any text.
        is_number: whether it is a whole number from 1.
        is_list: whether there may be any number of values. An argument that is this parameter alone
            becomes ``--NAME VALUE`` for each of them.
    """

    name: str
    tells: str
    choices: tuple[str, ...] = ()
    is_number: bool = False
    is_list: bool = False


class Asset(msgspec.Struct, frozen=True):
    """Something that tasks read and write: a table, or what the online store has of a view.

    Attributes:
        name: unique in the project.
        uri: where it is.
    """

    name: str
    uri: str


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One command of a run. It is idempotent: it may be killed anywhere and run again.

    Attributes:
        name: unique in the run.
        command: the arguments of `headrace`.
        tells: what it does, for who looks at a run.
        after: the tasks that have to have ended well.
        slots: how many processors it keeps busy.
        timeout_s: after so long something is wrong.
        reads, writes: assets.
        reports: it prints a report of JSON, and ends with status 1 where that is for a person to
            judge: what comes after it goes on with either.
        approves: the task whose report somebody has to agree to; there is no command then.
        on_spark: it computes on a cluster of Spark, to which it can be submitted.
    """

    name: str
    command: tuple[str, ...] = ()
    tells: str
    after: tuple[str, ...] = ()
    slots: int = 1
    timeout_s: int = 3_600
    reads: tuple[Asset, ...] = ()
    writes: tuple[Asset, ...] = ()
    reports: bool = False
    approves: str | None = None
    on_spark: bool = False


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks of a run, each after those that it needs.

    Attributes:
        name: of the run.
        tells: what it does.
        cron: when it is due, UTC; None for one that somebody starts.
        is_daily: it has a day, the one that has just ended when it is due, and days are in order:
            no task of one begins before the same task of the day before has ended well.
        due_s: a run that hasn't ended so long after it was due is late; None for one without.
        parameters: what who starts it says.
        tasks: in an order in which they can be done one by one.
    """

    name: str
    tells: str
    cron: str | None = None
    is_daily: bool = False
    due_s: int | None = None
    parameters: tuple[Parameter, ...] = ()
    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        """See that tasks come after those that they need."""
        done: set[str] = set()
        for task in self.tasks:
            missing = {*task.after, *((task.approves,) if task.approves else ())} - done
            if missing or task.name in done:
                raise ConfigurationError(f"{self.name}: {task.name} can't come after {missing}")
            done.add(task.name)


def filled(arguments: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Arguments with values in the place of the names in braces."""
    found = []
    for argument in arguments:
        text = argument
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        found.append(text)
    return found
