"""Whether the rows of a day are those that were judged, though they have come into other files.

A commit of Delta says whether it changes data. Files that were put together change none, whoever
has done that: what was said of a day holds as long as no other commit is about it. So nothing has
to be noted before or after, and who is stopped in between loses nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from headrace_batch.commits import actions_of
from headrace_batch.quality.measures import TableDays, content_of
from headrace_batch.warehouse import dataset_of
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from pyarrow import fs

    from headrace_batch.quality.verdicts import Verdict


def as_now(days: TableDays, said: Mapping[date, Verdict]) -> dict[date, Verdict]:
    """What was said of days; where their rows are the same, of the files in which they are."""
    same = put_together(days, {day: one.content for day, one in said.items()})
    return {
        day: replace(one, content=days.content(day)) if day in same else one
        for day, one in said.items()
    }


def put_together(days: TableDays, judged: Mapping[date, str]) -> set[date]:
    """The days that have other files than when they were judged, and the same rows.

    The log is read from the version that there is back to where a day was changed, or judged, and
    on to newer ones: a day may have been judged later than the version that is read. Where it no
    longer reaches that far rows count as others.

    Args:
        days: of a version of a table.
        judged: the content of each day when it was.
    """
    waiting = {day for day, content in judged.items() if content != days.content(day)}
    if not waiting:
        return set()
    version, files = days.table.version(), dataset_of(days.table).filesystem
    before = _met(files, days, judged, waiting, range(version, -1, -1), back=True)
    after = itertools.count(version + 1)
    return before | _met(files, days, judged, waiting - before, after, back=False)


def _met(  # noqa: PLR0913 - what it goes along
    files: fs.FileSystem,
    days: TableDays,
    judged: Mapping[date, str],
    waiting: Iterable[date],
    commits: Iterable[int],
    *,
    back: bool,
) -> set[date]:
    """The days that had the files with which they were judged, before or after some commits."""
    paths = {day: set(days.files.get(day, ())) for day in waiting}
    found: set[date] = set()
    for number in commits:
        actions = actions_of(files, number) if paths else None
        if actions is None:
            break
        for action in actions:
            _follow(paths, action, back=back)
        met = {day for day, held in paths.items() if content_of(held) == judged[day]}
        found |= met
        for day in met:
            del paths[day]
    return found


def _follow(paths: dict[date, set[str]], action: Mapping[str, Any], *, back: bool) -> None:
    """Do to the files of days what a commit did, or undo it; a day that it changed is left out."""
    for kind in ("add", "remove"):
        told = action.get(kind)
        if told is None:
            continue
        day = date.fromisoformat(told["partitionValues"][EVENT_DATE])
        if day not in paths:
            continue
        if told["dataChange"]:
            del paths[day]
        elif (kind == "add") != back:
            paths[day].add(told["path"])
        else:
            paths[day].discard(told["path"])
