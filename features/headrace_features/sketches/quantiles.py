"""The log-linear integer histogram behind approximate quantiles.

Every power of two is divided into 128 equal buckets, as in an HDR histogram (Tene 2012), so a
bucket is at most 1/128 of its values wide and its middle within 0.4 % of each. Integers below 256
have a bucket of their own. Negative numbers mirror positive ones.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from headrace_schemas.columns import INT64_MAX, INT64_MIN

PRECISION_BITS = 7


def bucket_of(value: int) -> int:
    """The bucket of an int64; a greater value is never in a lower bucket."""
    magnitude = abs(value)
    shift = max(magnitude.bit_length() - PRECISION_BITS - 1, 0)
    bucket = (shift << PRECISION_BITS) + (magnitude >> shift)
    return bucket if value >= 0 else -bucket


def buckets_of(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """`bucket_of` for a whole array."""
    magnitude = np.where(values < 0, -values, values).view(np.uint64)
    # The upper half of 64 bits at a time: a double holds 32 bits exactly.
    high = np.frexp((magnitude >> np.uint64(32)).astype(np.float64))[1]
    low = np.frexp((magnitude & np.uint64(0xFFFFFFFF)).astype(np.float64))[1]
    length = np.where(high > 0, high + 32, low).astype(np.int64)
    shift = np.maximum(length - PRECISION_BITS - 1, 0)
    bucket = (shift << PRECISION_BITS) + (magnitude >> shift.view(np.uint64)).view(np.int64)
    return np.where(values < 0, -bucket, bucket)


def bucket_middle(bucket: int) -> int:
    """The middle of a bucket, rounded towards zero: the value reported for all it holds."""
    index = abs(bucket)
    shift = max((index >> PRECISION_BITS) - 1, 0)
    lowest = (index - (shift << PRECISION_BITS)) << shift
    middle = lowest + ((1 << shift) - 1) // 2
    return max(INT64_MIN, min(INT64_MAX, middle if bucket >= 0 else -middle))


def rank_of(q: Fraction, count: int) -> int:
    """The nearest rank of a quantile among `count` values, from 1: ``ceil(q * count)``."""
    return -(-q.numerator * count // q.denominator)
