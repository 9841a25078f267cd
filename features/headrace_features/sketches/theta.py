"""The Theta sketch behind approximate distinct counts (Dasgupta et al. 2016).

Finalised through a union, a sketch of nominal size k depends only on the set of values: up to k
it holds all their hashes and is exact; beyond, it holds the k smallest hashes below θ, the
(k+1)-th smallest, and estimates k / θ. That is computed here from hashes alone, by the same
arithmetic as the Apache DataSketches library, so that engines can share it.
"""

from __future__ import annotations

from collections.abc import Iterable

import datasketches

LG_K = 12
K = 1 << LG_K
#: θ = 1 in the fixed-point form of the library.
MAX_THETA = 2**63 - 1


def new_sketch() -> datasketches.update_theta_sketch:
    """An empty sketch of the one size and seed that is used everywhere."""
    return datasketches.update_theta_sketch(LG_K)


def item_of(value: str | int) -> str | int:
    """What the library is given for a value.

    The library ignores the empty string, which is a value like any other here: strings are
    prefixed with a letter.
    """
    return "s" + value if isinstance(value, str) else int(value)


def estimate_of(values: Iterable[str | int]) -> float:
    """The approximate number of distinct values, by the library."""
    sketch = new_sketch()
    for value in values:
        sketch.update(item_of(value))
    union = datasketches.theta_union(LG_K)
    union.update(sketch)
    return float(union.get_result().get_estimate())


def hash_of(value: str | int) -> int:
    """The 63-bit hash by which the library orders a value."""
    sketch = new_sketch()
    sketch.update(item_of(value))
    return int(next(iter(sketch)))


def estimate_from(distinct: int, theta: int | None) -> float:
    """The estimate for a number of distinct hashes.

    Args:
        distinct: how many there are.
        theta: the (K+1)-th smallest hash where there are more than K, else None.
    """
    return float(distinct) if theta is None else K / (theta / MAX_THETA)
