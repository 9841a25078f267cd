"""What has to be known of all rows of a set before the first one is packed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from headrace_batch.staging.columns import texts_of
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_batch.staging.shard_formats import Format
    from headrace_batch.staging.splits import SplitRule
    from headrace_shards.layout import Layout

#: More texts than that are no dictionary.
MOST_TEXTS = 1 << 20


@dataclass(frozen=True, slots=True)
class SetSurvey:
    """Of the rows of a set.

    Attributes:
        rows: by split, as its place in `SPLITS`, how many; those that have some.
        dictionaries: by column of texts all that there are, sorted; without those of too many,
            where texts are kept as they are.
        payloads: by split the bytes of these.
    """

    rows: dict[int, int]
    dictionaries: dict[str, tuple[str, ...]]
    payloads: dict[int, int]


def survey(tables: Iterable[pa.Table], rule: SplitRule, layout: Layout, form: Format) -> SetSurvey:
    """Count the rows of each split, and collect the texts of each column that has such.

    Raises:
        ConfigurationError: there are no rows, more texts than a dictionary may have, or numbers
            that the format doesn't have.
    """
    counts: Counter[int] = Counter()
    texts: dict[str, set[str]] = {name: set() for name in texts_of(layout)}
    sizes: Counter[int] = Counter()
    not_finite: Counter[str] = Counter()
    for table in tables:
        splits = rule.of(table)
        numbers, rows = np.unique(splits, return_counts=True)
        counts.update(dict(zip(numbers.tolist(), rows.tolist(), strict=True)))
        for name in form.payloads:
            length = pc.fill_null(pc.binary_length(table.column(name)), 0).to_numpy()
            for number in numbers.tolist():
                sizes[number] += int(length[splits == number].sum())
        for name in [*texts]:
            texts[name].update(pc.unique(table.column(name)).drop_null().to_pylist())
            if len(texts[name]) > MOST_TEXTS:
                del texts[name]
                if form.has_codes:
                    raise _too_many(name)
        if form.has_texts_of_numbers:
            not_finite.update(_not_finite(table, layout))
    if not counts:
        raise ConfigurationError("the spine has no rows", hint="name one that has some")
    for name, count in not_finite.items():
        raise ConfigurationError(
            f"{count:,} values of the column {name!r} are NaN or infinite, which the JSON of"
            f" {form.kind} doesn't have",
            hint=f"make them null, or leave the column out: --leave-out {name}",
        )
    return SetSurvey(
        dict(sorted(counts.items())),
        {name: tuple(sorted(all_)) for name, all_ in texts.items()},
        dict(sizes),
    )


def _too_many(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"the column {name!r} has more than {MOST_TEXTS:,} texts, too many for codes",
        hint=f"leave it out (--leave-out {name}, or columns= of the declared set), as rows have"
        " numbers, or have texts as they are in Parquet (--format parquet, or format=)",
    )


def _not_finite(table: pa.Table, layout: Layout) -> Mapping[str, int]:
    """By column how many numbers are NaN or infinite, of those that have any."""
    columns = {name: table.column(name) for name in layout.places}
    counts = {
        name: pc.sum(pc.invert(pc.is_finite(column.cast(pa.float64())))).as_py() or 0
        for name, column in columns.items()
        if pt.is_floating(column.type)
    }
    return {name: count for name, count in counts.items() if count}
