"""Measures as a checkpoint of Great Expectations: it judges them, and its Data Docs show them."""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_batch.quality.measures import bounds, spelled
from headrace_features.exclusive import taking_turns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from types import ModuleType

    from headrace_batch.quality.measures import Measure

_SITE = Path("gx", "uncommitted", "data_docs", "local_site")
_DOCS = _SITE / "index.html"


@dataclass(frozen=True, slots=True)
class Judgement:
    """By measure, in their order, whether it is as it has to be; and the page that shows all."""

    kept: tuple[bool, ...]
    docs: Path


def shown(
    folder: Path, name: str, day: date, measures: Sequence[Measure], accepted: str
) -> Path | None:
    """The page that shows all, if it shows a day of a table as it would be shown; see `judge`."""
    told = _told(folder, name, day)
    is_so = told.exists() and told.read_text() == _digest(measures, accepted)
    return folder / _DOCS if is_so else None


def judge(  # noqa: PLR0913, PLR0917 - a day, what is said of it, and when
    folder: Path, name: str, day: date, measures: Sequence[Measure], accepted: str, now_ms: int
) -> Judgement:
    """Run the checkpoint of a table for a day, and build the Data Docs.

    Args:
        folder: where Great Expectations keeps its project; made where it is missing.
        name: of the table.
        day: whose measures these are; what was said of it before stays in the docs.
        measures: of one rule each.
        accepted: why the day is let pass whatever comes of it; "" where it isn't.
        now_ms: when that is, ms UTC.
    """
    gx = _great_expectations()
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    # Its project is a few files, which two processes would overwrite for each other.
    with taking_turns(folder / "lock"):
        context = gx.get_context(mode="file", project_root_dir=folder)
        context.variables.progress_bars = {"globally": False}
        suite = gx.ExpectationSuite(
            name=name, expectations=[_expectation(gx, one, day, accepted) for one in measures]
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
            run_id=gx.RunIdentifier(
                run_name=day.isoformat(), run_time=datetime.fromtimestamp(now_ms / 1000, UTC)
            ),
        )
        told = _told(folder, name, day)
        told.parent.mkdir(parents=True, exist_ok=True)
        told.write_text(_digest(measures, accepted))
    (validated,) = result.run_results.values()
    kept = {one.expectation_config.kwargs["column"]: one.success for one in validated.results}
    return Judgement(tuple(bool(kept[one.rule]) for one in measures), folder / _DOCS)


def _told(folder: Path, name: str, day: date) -> Path:
    """The file that identifies what the pages say of a day."""
    return folder / "told" / name / day.isoformat()


def _digest(measures: Sequence[Measure], accepted: str) -> str:
    return hashlib.sha256(repr((tuple(measures), accepted)).encode()).hexdigest()


def _expectation(gx: ModuleType, measure: Measure, day: date, accepted: str) -> object:
    # One that is about the greatest value shows it; of no value at all it would fail.
    kind = (
        gx.expectations.ExpectColumnValuesToBeBetween
        if measure.value is None
        else gx.expectations.ExpectColumnMaxToBeBetween
    )
    return kind(
        column=measure.rule,
        min_value=measure.least,
        max_value=measure.most,
        # It becomes a part of the page as it is.
        description=escape(_described(measure, day, accepted), quote=False),
    )


def _described(measure: Measure, day: date, accepted: str) -> str:
    """What was measured of a day, as people read it."""
    if measure.value is None:
        told = f"{day}: nothing to compare ({measure.told})"
    else:
        told = (
            f"{day}: {spelled(measure.value)} {measure.unit}, expected {bounds(measure)}"
            f" ({measure.told})"
        )
    return f"{told}; the day is let pass: {accepted}" if accepted else told


def _great_expectations() -> ModuleType:
    # Else it reports to its makers what it is used for.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        # It imports modules that Python has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations as gx

    module: ModuleType = gx
    return module
