"""Training sets staged from the lake of a test, and the rows that readers get of them."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from headrace_batch.staging.declared import stage_set, write_set
from headrace_batch.staging.declared_spine import write_spine
from headrace_batch.staging.publication import published
from headrace_batch.staging.request import StageRequest
from headrace_batch.staging.run import StageReport, stage
from headrace_batch.staging.spine import Label
from headrace_batch.staging.splits import SplitRule
from headrace_batch.staging.target import Target
from headrace_features.definitions.training_sets import TrainingSet
from headrace_features.fraud.definitions import fraud, fraud_training
from headrace_features.project import load_project
from headrace_schemas.settings import Settings
from headrace_shards import Loader, Source
from headrace_shards.manifest import Manifest

#: A day for which the lake has events and labels, the last day of events that its declared set has,
#: and the end of the former.
DAY = date(2018, 4, 26)
LAST = date(2018, 4, 19)
END_MS = int(np.datetime64(DAY + timedelta(1), "ms").astype(np.int64))
LABEL = Label(("is_fraud",), "reported_at")
_DAY = 86_400_000


def request_for(place: Path, folder: Path, **options: Any) -> StageRequest:
    """A set of a spine of transactions, with all splits."""
    times = pq.read_table(place, columns=["event_time"])[0].to_numpy()
    middle = int(np.quantile(times, 0.6))
    defaults: dict[str, Any] = {
        "name": "fraud",
        "selections": fraud.asked,
        "spine": str(place),
        "out": str(folder),
        "label": LABEL,
        "split": SplitRule(middle, middle + 5 * _DAY, 0.2, "card_id", seed=4),
    }
    return StageRequest(**{**defaults, **options})


def staged(lake: Settings, request: StageRequest, engine: str = "local") -> StageReport:
    """Stage it."""
    return stage(lake, load_project(lake), request, engine, lambda _: None)


def made(
    settings: Settings, day: date, engine: str = "local", declared: TrainingSet = fraud_training
) -> StageReport:
    """Make a declared set as of a day, step by step, also in place of that of a later one."""
    project = load_project(settings)
    write_spine(settings, project, declared, day)
    write_set(settings, declared, day, engine)
    return stage_set(settings, project, declared, day, engine, lambda _: None, over_newer=True)


def manifest_at(place: Path | str) -> Manifest:
    """The manifest of a set that is published."""
    found = published(Target(str(place)))
    assert found is not None
    return found


def rows_of(out: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """By split and number each row of a set, by column, nulls as None."""
    manifest = manifest_at(out)
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for split in manifest.splits:
        loader = Loader(Source(out, split), batch_size=4096, block_rows=0, last="short")
        rows = found.setdefault(split, {})
        for batch in loader:
            columns: dict[str, list[Any]] = {}
            for part, names in loader.columns.items():
                for place, name in enumerate(names):
                    values = batch[part] if batch[part].ndim == 1 else batch[part][:, place]
                    told = values.tolist()
                    if name in manifest.dictionaries:
                        told = [manifest.dictionaries[name][code] for code in told]
                    is_null = loader.layout.nulls(batch["mask"], name).tolist()
                    columns[name] = [
                        None if null else one for one, null in zip(told, is_null, strict=True)
                    ]
            for place, number in enumerate(columns["row"]):
                rows[number] = {name: values[place] for name, values in columns.items()}
    return found
