"""Measures as a checkpoint of Great Expectations: it judges them, and its Data Docs show them."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_features.exclusive import taking_turns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from types import ModuleType

    from headrace_batch.quality.measures import Measure

_DOCS = Path("gx", "uncommitted", "data_docs", "local_site", "index.html")


@dataclass(frozen=True, slots=True)
class Judgement:
    """By measure, in their order, whether it is as it has to be; and the page that shows all."""

    kept: tuple[bool, ...]
    docs: Path


def judge(folder: Path, name: str, day: date, measures: Sequence[Measure]) -> Judgement:
    """Run the checkpoint of a table for a day, and build the Data Docs.

    Args:
        folder: where Great Expectations keeps its project; made where it is missing.
        name: of the table.
        day: whose measures these are; what was said of it before is replaced in the docs.
        measures: of one rule each.
    """
    gx = _great_expectations()
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    # Its project is a few files, which two processes would overwrite for each other.
    with taking_turns(folder / "lock"):
        context = gx.get_context(mode="file", project_root_dir=folder)
        context.variables.progress_bars = {"globally": False}
        suite = gx.ExpectationSuite(
            name=name, expectations=[_expectation(gx, one) for one in measures]
        )
        source = context.data_sources.add_or_update_pandas(name)
        batch = source.add_dataframe_asset("measures").add_batch_definition_whole_dataframe("day")
        definition = gx.ValidationDefinition(
            name=name, data=batch, suite=context.suites.add_or_update(suite)
        )
        checkpoint = gx.Checkpoint(
            name=name,
            validation_definitions=[context.validation_definitions.add_or_update(definition)],
            actions=[gx.checkpoint.UpdateDataDocsAction(name="docs")],
        )
        row = {one.rule: [one.value] for one in measures}
        result = context.checkpoints.add_or_update(checkpoint).run(
            batch_parameters={"dataframe": pd.DataFrame(row, dtype="float64")},
            run_id=gx.RunIdentifier(run_name=day.isoformat()),
        )
    (validated,) = result.run_results.values()
    kept = {one.expectation_config.kwargs["column"]: one.success for one in validated.results}
    return Judgement(tuple(bool(kept[one.rule]) for one in measures), folder / _DOCS)


def _expectation(gx: ModuleType, measure: Measure) -> object:
    note = f"{measure.told}; in {measure.unit}"
    return gx.expectations.ExpectColumnValuesToBeBetween(
        column=measure.rule,
        min_value=measure.least,
        max_value=measure.most,
        meta={"notes": {"format": "markdown", "content": [note]}},
    )


def _great_expectations() -> ModuleType:
    # Else it reports to its makers what it is used for.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        # It imports modules that Python has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations as gx

    module: ModuleType = gx
    return module
