"""Recorded events of OpenLineage, ours and those of others, put together to runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from headrace_features.lineage.places import Place

_ENDINGS = frozenset({"COMPLETE", "FAIL", "ABORT"})


class Job(NamedTuple):
    """A job by the namespace of whoever runs it."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job, as far as its events tell.

    Attributes:
        job: whose run it is.
        run: its id.
        state: of its newest event, such as COMPLETE.
        is_stream: whether it goes on until somebody ends it.
        began, ended: when, as ISO text; None where no event tells.
        parent: the run that started it, if there is one, and its job.
        reads, writes: by place the facets that tell of it.
        error: why it failed.
    """

    job: Job
    run: str
    state: str
    is_stream: bool = False
    began: str | None = None
    ended: str | None = None
    parent: tuple[Job, str] | None = None
    reads: Mapping[Place, Mapping[str, Any]] = field(default_factory=dict)
    writes: Mapping[Place, Mapping[str, Any]] = field(default_factory=dict)
    error: str | None = None

    @property
    def has_worked(self) -> bool:
        """Whether it has done what it tells of, or is at it."""
        return self.state in {"COMPLETE", "RUNNING"} or (self.state == "START" and self.is_stream)


def read_events(folder: Path) -> Iterator[Mapping[str, Any]]:
    """The events of all files of a folder; what is none, such as half a line, is passed over."""
    for path in sorted(folder.glob("*.ndjson")):
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, Mapping) and isinstance(event.get("run"), Mapping):
                    yield event


def runs_of(events: Iterable[Mapping[str, Any]]) -> list[Run]:
    """Runs in the order in which they began; each event adds to what those before it told."""
    found: dict[str, Run] = {}
    for event in sorted(events, key=lambda one: str(one.get("eventTime", ""))):
        run = str(event["run"].get("runId", ""))
        before = found.get(run)
        found[run] = _with_event(before or Run(_job(event.get("job", {})), run, ""), event)
    return list(found.values())


def _with_event(run: Run, event: Mapping[str, Any]) -> Run:
    state = str(event.get("eventType") or run.state or "OTHER")
    time = event.get("eventTime")
    facets = event["run"].get("facets") or {}
    told = facets.get("parent")
    parent = run.parent
    job_type = ((event.get("job") or {}).get("facets") or {}).get("jobType") or {}
    if told is not None:
        parent = (_job(told.get("job", {})), str(told.get("run", {}).get("runId", "")))
    return Run(
        job=run.job,
        run=run.run,
        # What is told once a run has ended, such as of a name, doesn't begin it anew.
        state=run.state if run.state in _ENDINGS and state not in _ENDINGS else state,
        is_stream=run.is_stream or job_type.get("processingType") == "STREAMING",
        began=run.began or time,
        ended=time if state in _ENDINGS else run.ended,
        parent=parent,
        reads=_joined(run.reads, event.get("inputs"), "inputFacets"),
        writes=_joined(run.writes, event.get("outputs"), "outputFacets"),
        error=(facets.get("errorMessage") or {}).get("message", run.error),
    )


def _joined(
    before: Mapping[Place, Mapping[str, Any]], told: Iterable[Mapping[str, Any]] | None, own: str
) -> dict[Place, Mapping[str, Any]]:
    found = dict(before)
    for one in told or ():
        place = Place(str(one.get("namespace", "")), str(one.get("name", "")))
        facets = {**(one.get("facets") or {}), **(one.get(own) or {})}
        found[place] = {**found.get(place, {}), **facets}
    return found


def _job(told: Mapping[str, Any]) -> Job:
    return Job(str(told.get("namespace", "")), str(told.get("name", "")))
