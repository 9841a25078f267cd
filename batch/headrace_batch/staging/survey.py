"""What has to be known of all rows of a set before the first one is packed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace_batch.staging.splits import SplitRule

#: More texts than that are no dictionary.
MOST_TEXTS = 1 << 20


@dataclass(frozen=True, slots=True)
class SetSurvey:
    """Of the rows of a set.

    Attributes:
        rows: by split, as its place in `SPLITS`, how many; those that have some.
        dictionaries: by column of texts all that there are, sorted.
        payloads: by split the bytes of these.
    """

    rows: dict[int, int]
    dictionaries: dict[str, tuple[str, ...]]
    payloads: dict[int, int]


def survey(
    tables: Iterable[pa.Table],
    rule: SplitRule,
    texts: Sequence[str],
    payloads: Collection[str] = (),
) -> SetSurvey:
    """Count the rows of each split, and collect the texts of each column that has such.

    Raises:
        ConfigurationError: there are no rows, or more texts than a dictionary may have.
    """
    counts: Counter[int] = Counter()
    found: dict[str, set[str]] = {name: set() for name in texts}
    sizes: Counter[int] = Counter()
    for table in tables:
        splits = rule.of(table)
        numbers, rows = np.unique(splits, return_counts=True)
        counts.update(dict(zip(numbers.tolist(), rows.tolist(), strict=True)))
        for name in payloads:
            length = pc.fill_null(pc.binary_length(table.column(name)), 0).to_numpy()
            for number in numbers.tolist():
                sizes[number] += int(length[splits == number].sum())
        for name in texts:
            found[name].update(pc.unique(table.column(name)).drop_null().to_pylist())
            if len(found[name]) > MOST_TEXTS:
                raise ConfigurationError(
                    f"the column {name!r} has more than {MOST_TEXTS:,} texts, too many for codes",
                    hint=f"leave it out, as rows have numbers: --leave-out {name}",
                )
    if not counts:
        raise ConfigurationError("the spine has no rows", hint="name one that has some")
    return SetSurvey(
        dict(sorted(counts.items())),
        {name: tuple(sorted(all_)) for name, all_ in found.items()},
        dict(sizes),
    )
