"""Every aggregate over a chunk: from who sees what to a value for each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa

from headrace_features.definitions.aggregates import Kind
from headrace_features.kernel import columns, reducers
from headrace_features.kernel.arrays import Bools, Doubles, Ints
from headrace_features.kernel.chunks import Chunk, running_count
from headrace_features.kernel.frames import Run
from headrace_features.sketches import quantiles, theta
from headrace_schemas.columns import INT64_MAX, ColumnType
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason

if TYPE_CHECKING:
    from fractions import Fraction

    from headrace_features.definitions.views import Feature
    from headrace_features.kernel.exact import Exact

#: A value for each row of a chunk, and where it is not null; None where it never is.
Values = tuple[Ints | Doubles, Bools | None]


def _count(chunk: Chunk, feature: Feature) -> tuple[Ints, None]:
    return chunk.seen(feature).count, None


def _count_valid(chunk: Chunk, feature: Feature) -> Ints:
    """How many values that are not null each row sees."""
    name = str(feature.column)
    valid = chunk.events.numbers(name).valid
    seen = chunk.seen(feature)
    if valid is None:
        return seen.count
    if isinstance(seen, Run) or seen.regular:
        running = chunk.events.running_valid(name)
        return running[seen.entered] - running[seen.left]
    ones = valid[seen.event]
    return (
        running_count(ones[seen.by_start])[seen.entered]
        - running_count(ones[seen.by_stop])[seen.left]
    )


def _total(chunk: Chunk, feature: Feature, of: Callable[[str], Exact]) -> Exact:
    """The exact sum of what each row sees."""
    name = str(feature.column)
    seen = chunk.seen(feature)
    if isinstance(seen, Run) or seen.regular:
        running = chunk.events.running(of, name)
        return running.take(seen.entered).minus(running.take(seen.left))
    values = of(name).take(seen.event)
    entered = values.take(seen.by_start).running().take(seen.entered)
    return entered.minus(values.take(seen.by_stop).running().take(seen.left))


def _integer_total(chunk: Chunk, feature: Feature) -> Exact:
    """The sum of a column; for integers one that fits int64."""
    total = _total(chunk, feature, chunk.events.exact)
    if feature.column_type is not ColumnType.FLOAT64:
        outside = total.outside_int64()
        if outside.any():
            row_ms = int(chunk.frame.row_ms[np.argmax(outside)])
            raise BadRecordError(
                Reason.INTEGER_OVERFLOW,
                f"{feature.name}: a sum is outside int64 for a row at {row_ms} ms",
                hint="filter the events that are out of proportion, or sum a smaller unit",
            )
    return total


def _sum(chunk: Chunk, feature: Feature) -> tuple[Ints | Doubles, Bools | None]:
    total = _integer_total(chunk, feature)
    floating = feature.type is ColumnType.FLOAT64
    return (total.to_doubles() if floating else total.to_integers()), None


def _mean(chunk: Chunk, feature: Feature) -> tuple[Doubles, Bools]:
    n = _count_valid(chunk, feature)
    total = _integer_total(chunk, feature).to_doubles()
    return total / np.maximum(n, 1), n > 0


def _variance(chunk: Chunk, feature: Feature) -> tuple[Doubles, Bools]:
    n = _count_valid(chunk, feature)
    total = _integer_total(chunk, feature)
    squares = _total(chunk, feature, chunk.events.squares)
    numerator = squares.times(n).minus(total.squared()).to_doubles()
    pairs = (n * (n - 1)).astype(np.float64)
    valid = n > 1
    return numerator / np.where(valid, pairs, 1.0), valid


def _stddev(chunk: Chunk, feature: Feature) -> tuple[Doubles, Bools]:
    variance, valid = _variance(chunk, feature)
    return np.sqrt(np.where(valid, variance, 0.0)), valid


def _extreme(chunk: Chunk, feature: Feature) -> tuple[Ints | Doubles, Bools]:
    column = chunk.events.numbers(str(feature.column))
    pieces = _of_valid(chunk.visibility(feature).pieces, column.valid)
    rows = chunk.frame.rows
    find = reducers.least if feature.kind is Kind.MIN else reducers.greatest
    valid = reducers.count(pieces, rows) > 0
    if column.values.dtype == np.float64:
        keys = columns.ordered(cast("Doubles", column.values))
        return columns.unordered(find(pieces, keys, rows)), valid
    return find(pieces, cast("Ints", column.values), rows), valid


def _chosen(chunk: Chunk, feature: Feature) -> tuple[Ints, Bools]:
    """The position in the table of the first or last event that each row sees."""
    pieces = chunk.visibility(feature).pieces
    rank = chunk.frame.positions
    rows = chunk.frame.rows
    first = feature.kind is Kind.FIRST
    best = (reducers.least if first else reducers.greatest)(pieces, rank, rows)
    valid = (best >= 0) & (best < chunk.frame.events)
    if not chunk.frame.events:
        return best, valid
    return chunk.events.place[np.where(valid, best, 0)], valid


def _united(chunk: Chunk, feature: Feature) -> tuple[reducers.Pieces, columns.NumericColumn]:
    """Intervals in which each distinct value of an entity is seen, as (value code, start, stop)."""
    column = chunk.events.codes(str(feature.column))
    pieces = _of_valid(chunk.visibility(feature).pieces, column.valid)
    span = int(column.values.max(initial=0)) + 1
    pairs, groups = np.unique(chunk.frame.event_entity * span + column.values, return_inverse=True)
    group, start, stop = reducers.unite(pieces, groups, chunk.frame.rows)
    return (pairs[group] % span, start, stop), column


def _distinct(chunk: Chunk, feature: Feature) -> tuple[Ints, None]:
    united, _ = _united(chunk, feature)
    return reducers.count(united, chunk.frame.rows), None


def _approx_distinct(chunk: Chunk, feature: Feature) -> tuple[Doubles, None]:
    united, column = _united(chunk, feature)
    rows = chunk.frame.rows
    distinct = reducers.count(united, rows)
    result = distinct.astype(np.float64)
    many = np.flatnonzero(distinct > theta.K)
    if not len(many):
        return result, None
    # Only entities with more values than the sketch holds need hashes.
    crowded = np.isin(chunk.frame.row_entity[united[1]], chunk.frame.row_entity[many])
    code, start, stop = (part[crowded] for part in united)
    used, item = np.unique(code, return_inverse=True)
    hashes = _hashes(chunk, str(feature.column), column, used)
    ascending = np.argsort(hashes)
    by_hash = np.empty(len(used), np.int64)
    by_hash[ascending] = np.arange(len(used))
    rank = np.zeros(rows, np.int64)
    rank[many] = theta.K + 1
    found = reducers.kth_least((item, start, stop), by_hash, rank)[many]
    result[many] = [theta.estimate_from(0, int(smallest)) for smallest in hashes[ascending][found]]
    return result, None


def _hashes(chunk: Chunk, name: str, column: columns.NumericColumn, used: Ints) -> Ints:
    """The sketch's hash for each of some value codes."""
    events = chunk.frame.positions if column.valid is None else np.flatnonzero(column.valid)
    present, first = np.unique(column.values[events], return_index=True)
    place = chunk.events.place[events[first[np.searchsorted(present, used)]]]
    values = chunk.events.table[name].take(pa.array(place)).to_pylist()
    return np.array([theta.hash_of(value) for value in values], np.int64)


def _quantile(chunk: Chunk, feature: Feature) -> tuple[Ints, Bools]:
    column = chunk.events.numbers(str(feature.column))
    pieces = _of_valid(chunk.visibility(feature).pieces, column.valid)
    rows = chunk.frame.rows
    buckets = quantiles.buckets_of(column.values.astype(np.int64))
    used, codes = np.unique(buckets, return_inverse=True)
    n = reducers.count(pieces, rows)
    found = reducers.kth_least(pieces, codes, _ranks(cast("Fraction", feature.q), n))
    middles = np.array([quantiles.bucket_middle(int(bucket)) for bucket in used], np.int64)
    valid = n > 0
    if not len(middles):
        return np.zeros(rows, np.int64), valid
    return middles[np.where(valid, found, 0)], valid


def _ranks(q: Fraction, n: Ints) -> Ints:
    """The nearest rank of a quantile among each of some numbers of values, 0 among none."""
    wide = q.numerator * int(n.max(initial=0)) > INT64_MAX
    counts = n.astype(object) if wide else n
    return (-(-q.numerator * counts // q.denominator)).astype(np.int64)


def _of_valid(pieces: reducers.Pieces, valid: Bools | None) -> reducers.Pieces:
    if valid is None:
        return pieces
    event, start, stop = pieces
    kept = valid[event]
    return event[kept], start[kept], stop[kept]


#: Those that are differences of running sums.
INVERTIBLE = frozenset({Kind.COUNT, Kind.SUM, Kind.MEAN, Kind.VARIANCE, Kind.STDDEV})

AGGREGATES: Mapping[Kind, Callable[[Chunk, Feature], Values]] = MappingProxyType(
    {
        Kind.COUNT: _count,
        Kind.SUM: _sum,
        Kind.MEAN: _mean,
        Kind.MIN: _extreme,
        Kind.MAX: _extreme,
        Kind.VARIANCE: _variance,
        Kind.STDDEV: _stddev,
        Kind.FIRST: _chosen,
        Kind.LAST: _chosen,
        Kind.DISTINCT: _distinct,
        Kind.APPROX_DISTINCT: _approx_distinct,
        Kind.QUANTILE: _quantile,
    }
)
