"""Events of OpenLineage, made of what runs tell.

Two facets are our own: the offsets of a topic, and whatever else there is to know by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import quote

import attr
from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
    set_producer,
)
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    OutputDatasetFacet,
    RunFacet,
    column_lineage_dataset,
    dataset_version_dataset,
    datasource_dataset,
    documentation_dataset,
    error_message_run,
    input_statistics_input_dataset,
    job_type_job,
    output_statistics_output_dataset,
    ownership_dataset,
    parent_run,
    schema_dataset,
)

from headrace_features.lineage.told import (
    FACTS_FACET,
    OFFSETS_FACET,
    MadeOf,
    Outcome,
    Told,
    Work,
)

set_producer(f"urn:headrace:{version('headrace')}")


class RunId(NamedTuple):
    """One run of a job, as others name it for their parent."""

    namespace: str
    job: str
    run: str


class Parents(NamedTuple):
    """The run that has started this one, and the first one of all, if there is another above."""

    parent: RunId
    root: RunId | None = None


@attr.define
class _Offsets(DatasetFacet):
    """By partition the records of a topic that were read or written."""

    partitions: dict[str, dict[str, int]]

    @staticmethod
    def _get_schema() -> str:
        return "urn:headrace:facet:offsets:1"


@attr.define
class _Facts(DatasetFacet):
    """What else there is to know, by name."""

    facts: dict[str, str | int]

    @staticmethod
    def _get_schema() -> str:
        return "urn:headrace:facet:facts:1"


def run_event(  # noqa: PLR0913 - what an event tells
    state: RunState,
    time: datetime,
    run: RunId,
    work: Work,
    outcome: Outcome,
    *,
    parents: Parents | None = None,
    error: str | None = None,
) -> RunEvent:
    """What is told when a run begins or ends."""
    facets: dict[str, RunFacet] = {}
    if parents is not None:
        facets["parent"] = _parent(parents)
    if error is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(error, "PYTHON")
    kind = "STREAMING" if work.is_stream else "BATCH"
    job_type = job_type_job.JobTypeJobFacet(kind, "HEADRACE", "JOB")
    return RunEvent(
        eventTime=time.isoformat(),
        eventType=state,
        run=Run(run.run, facets=facets),
        job=Job(run.namespace, run.job, facets={"jobType": job_type}),
        inputs=[_input(one) for one in outcome.reads],
        outputs=[_output(one) for one in outcome.writes],
    )


def _parent(parents: Parents) -> parent_run.ParentRunFacet:
    above, root = parents
    return parent_run.ParentRunFacet(
        run=parent_run.Run(above.run),
        job=parent_run.Job(above.namespace, above.job),
        root=None
        if root is None
        else parent_run.Root(
            parent_run.RootRun(root.run), parent_run.RootJob(root.namespace, root.job)
        ),
    )


def _input(told: Told) -> InputDataset:
    place = told.place
    counted: dict[str, InputDatasetFacet] = {}
    if told.rows is not None:
        counted["inputStatistics"] = (
            input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rowCount=told.rows)
        )
    return InputDataset(
        place.namespace, place.name, facets=dict(_facets(told)), inputFacets=counted
    )


def _output(told: Told) -> OutputDataset:
    place = told.place
    facets = dict(_facets(told))
    if told.made_of is not None:
        facets["columnLineage"] = _made_of(told.made_of)
    counted: dict[str, OutputDatasetFacet] = {}
    if told.rows is not None:
        counted["outputStatistics"] = (
            output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=told.rows)
        )
    return OutputDataset(place.namespace, place.name, facets=facets, outputFacets=counted)


def _facets(told: Told) -> Iterable[tuple[str, DatasetFacet]]:
    place = told.place
    uri = f"{place.namespace}/{place.name}" if "://" in place.namespace else place.name
    yield (
        "dataSource",
        datasource_dataset.DatasourceDatasetFacet(place.namespace, quote(uri, safe="/:@+")),
    )
    if told.columns:
        yield (
            "schema",
            schema_dataset.SchemaDatasetFacet(
                [
                    schema_dataset.SchemaDatasetFacetFields(name, kind)
                    for name, kind in told.columns.items()
                ]
            ),
        )
    if told.version is not None:
        yield "version", dataset_version_dataset.DatasetVersionDatasetFacet(str(told.version))
    if told.description:
        yield (
            "documentation",
            documentation_dataset.DocumentationDatasetFacet(told.description),
        )
    if told.owner:
        owner = ownership_dataset.Owner(told.owner)
        yield "ownership", ownership_dataset.OwnershipDatasetFacet([owner])
    if told.offsets:
        partitions = {
            str(number): {"first": span.first, "before": span.before}
            for number, span in sorted(told.offsets.items())
        }
        yield OFFSETS_FACET, _Offsets(partitions)
    if told.facts:
        yield FACTS_FACET, _Facts(dict(told.facts))


def _made_of(made_of: MadeOf) -> column_lineage_dataset.ColumnLineageDatasetFacet:
    fields = {}
    for name, uses in made_of.columns.items():
        by_column: dict[str, list[column_lineage_dataset.Transformation]] = {}
        for use in uses:
            by_column.setdefault(use.column, []).append(
                column_lineage_dataset.Transformation(
                    type="DIRECT" if use.use.is_direct else "INDIRECT",
                    subtype=str(use.use),
                    description=use.told,
                    masking=False,
                )
            )
        fields[name] = column_lineage_dataset.Fields(
            [
                column_lineage_dataset.InputField(*made_of.place, column, done)
                for column, done in by_column.items()
            ]
        )
    return column_lineage_dataset.ColumnLineageDatasetFacet(fields)


def parents_in(environ: Mapping[str, str]) -> Parents | None:
    """The run above this process, as Airflow's and other tools tell it in the environment.

    `OPENLINEAGE_PARENT_ID` and `OPENLINEAGE_ROOT_PARENT_ID` are of the form namespace/job/run;
    what isn't of that form counts as absent.
    """
    parent = _run_id(environ.get("OPENLINEAGE_PARENT_ID", ""))
    if parent is None:
        return None
    return Parents(parent, _run_id(environ.get("OPENLINEAGE_ROOT_PARENT_ID", "")))


def _run_id(text: str) -> RunId | None:
    # A namespace may have slashes, such as that of a URL.
    parts = text.rsplit("/", 2)
    return RunId(*parts) if len(parts) == len(RunId._fields) and all(parts) else None


def as_json(event: Any) -> bytes:
    """An event as a line of a file."""
    from openlineage.client.serde import Serde

    return Serde.to_json(event).encode() + b"\n"
