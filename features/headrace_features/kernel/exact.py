"""Exact sums of whole columns: wide integers as limbs of 32 bits, rounded once at the end.

A value is Σ limb[j]·2^(32·j + exponent). Limbs are kept in int64, where they may be negative and
above 32 bits until they are carried: up to 2^31 of them can be added without an overflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace_features.kernel.arrays import Bools, Doubles, Ints

_BITS = 32
_MASK = (1 << _BITS) - 1
#: A sum below this in magnitude stays inside int64, with a bit to spare.
_SMALL = 2**62


@dataclass(frozen=True)
class Exact:
    """An array of wide numbers: limbs from the lowest, and one exponent of two for all."""

    limbs: tuple[Ints, ...]
    exponent: int = 0

    @classmethod
    def of_integers(cls, values: Ints) -> Exact:
        """Integers as they are."""
        return cls((values,))

    @classmethod
    def of_doubles(cls, values: Doubles) -> Exact:
        """Finite doubles as integers times one power of two."""
        fraction, exponent = np.frexp(values)
        mantissa = np.abs(np.ldexp(fraction, 53)).astype(np.int64)
        power = exponent.astype(np.int64) - 53
        # An odd mantissa needs the fewest limbs: 0.5 is 1·2^-1, not 2^52·2^-53.
        zeros = np.frexp((mantissa & -mantissa).astype(np.float64))[1].astype(np.int64) - 1
        zeros = np.where(mantissa == 0, 0, zeros)
        mantissa >>= zeros
        power = np.where(mantissa == 0, 0, power + zeros)
        used = power[mantissa != 0]
        lowest = int(used.min(initial=0)) if len(used) else 0
        shift = np.where(mantissa == 0, 0, power - lowest)
        width = 54 + int(shift.max(initial=0))
        sign = np.where(values < 0, -1, 1)
        limbs = tuple(sign * _window(mantissa, shift, _BITS * j) for j in range(-(-width // _BITS)))
        return cls(limbs, lowest)

    def take(self, index: Ints) -> Exact:
        """The numbers at some positions."""
        return Exact(tuple(limb[index] for limb in self.limbs), self.exponent)

    def running(self) -> Exact:
        """Sums of the first 0, 1, 2, … numbers: one more than there are numbers."""
        limbs = self.limbs
        if len(limbs) == 1:
            biggest = max(abs(int(limbs[0].max(initial=0))), abs(int(limbs[0].min(initial=0))))
            if biggest * len(limbs[0]) >= _SMALL:
                limbs = (limbs[0] & _MASK, limbs[0] >> _BITS)
        return Exact(tuple(np.concatenate([[0], np.cumsum(limb)]) for limb in limbs), self.exponent)

    def minus(self, other: Exact) -> Exact:
        """The difference of two numbers with the same exponent."""
        width = max(len(self.limbs), len(other.limbs))
        zero = np.zeros_like(self.limbs[0])
        ours, theirs = _padded(self.limbs, width, zero), _padded(other.limbs, width, zero)
        return Exact(tuple(a - b for a, b in zip(ours, theirs, strict=True)), self.exponent)

    def squared(self) -> Exact:
        """The square of each number."""
        small = self._bound(2**31)
        if small is not None:
            return Exact((small * small,), 2 * self.exponent)
        magnitude, _ = self._magnitude
        total = [np.zeros_like(self.limbs[0]) for _ in range(2 * len(magnitude) + 1)]
        # Doubles that are far apart have many limbs, of which most are zero in every row.
        used = [(j, limb.astype(np.uint64)) for j, limb in enumerate(magnitude) if limb.any()]
        for number, (i, a) in enumerate(used):
            for j, b in used[number:]:
                product = a * b
                times = 1 if i == j else 2
                total[i + j] += (product & np.uint64(_MASK)).astype(np.int64) * times
                total[i + j + 1] += (product >> np.uint64(_BITS)).astype(np.int64) * times
        return Exact(tuple(_carried(total)), 2 * self.exponent)

    def times(self, factor: Ints) -> Exact:
        """The product with integers from 0 to 2^31."""
        small = self._bound(2**31)
        if small is not None:
            return Exact((small * factor,), self.exponent)
        carried = _carried([*self.limbs, np.zeros_like(self.limbs[0])])
        return Exact(tuple(limb * factor for limb in carried), self.exponent)

    def outside_int64(self) -> Bools:
        """Where an integer doesn't fit int64."""
        if len(self.limbs) == 1:
            return np.zeros(len(self.limbs[0]), np.bool_)
        carried = _carried([*self.limbs, np.zeros_like(self.limbs[0])])
        sign = np.where(carried[1] & (1 << (_BITS - 1)), -1, 0)
        outside = np.zeros(len(sign), np.bool_)
        for j, limb in enumerate(carried[2:], start=2):
            last = j == len(carried) - 1
            outside |= limb != (sign if last else sign & _MASK)
        return outside

    def to_integers(self) -> Ints:
        """Integers that fit int64."""
        if len(self.limbs) == 1:
            return self.limbs[0]
        carried = _carried([*self.limbs, np.zeros_like(self.limbs[0])])
        return carried[0] + (carried[1] << _BITS)

    def to_doubles(self) -> Doubles:
        """The nearest doubles, half to even."""
        if len(self.limbs) == 1 and not self.exponent:
            return self.limbs[0].astype(np.float64)
        magnitude, negative = self._magnitude
        limbs = np.stack(magnitude)
        rows = np.arange(limbs.shape[1])
        used = limbs != 0
        top = len(limbs) - 1 - np.argmax(used[::-1], axis=0)
        first = limbs[top, rows].astype(np.uint64)
        second = np.where(top >= 1, limbs[top - 1, rows], 0).astype(np.uint64)
        third = np.where(top >= 2, limbs[top - 2, rows], 0).astype(np.uint64)  # noqa: PLR2004 - limb number
        bits = np.frexp(first.astype(np.float64))[1].astype(np.uint64)
        mantissa = (first << (np.uint64(64) - np.maximum(bits, np.uint64(1)))) | (
            (second << (np.uint64(_BITS) - bits)) | (third >> bits)
        )
        # Whatever lies below the 64 bits only matters as "a little more": a sticky bit.
        below = np.cumsum(used, axis=0)
        rest = np.where(top >= 3, below[top - 3, rows], 0) > 0  # noqa: PLR2004 - limb number
        rest |= (third & ((np.uint64(1) << bits) - np.uint64(1))) != 0
        mantissa |= rest.astype(np.uint64)
        power = _BITS * (top + 1) - (_BITS - bits.astype(np.int64)) - 64 + self.exponent
        result = _rounded(mantissa, power)
        return np.where(negative, -result, result)

    def _bound(self, limit: int) -> Ints | None:
        """The single limb, if there is one and all of it lies within the limit."""
        if len(self.limbs) > 1:
            return None
        limb = self.limbs[0]
        inside = -limit < int(limb.min(initial=0)) and int(limb.max(initial=0)) < limit
        return limb if inside else None

    @cached_property
    def _magnitude(self) -> tuple[list[Ints], Bools]:
        """Absolute value in limbs from 0 to 2^32 - 1, and where the number was negative."""
        zero = np.zeros_like(self.limbs[0])
        carried = _carried([*self.limbs, zero, zero])
        negative = carried[-1] < 0
        sign = np.where(negative, -1, 1)
        return _carried([limb * sign for limb in carried]), negative


def _rounded(mantissa: NDArray[np.uint64], power: Ints) -> Doubles:
    """The doubles nearest to mantissa·2^power, half to even, for mantissas with 64 bits or none.

    Below 2^-1022 doubles have fewer bits: the last that counts is that of 2^-1074, and rounding
    to 53 bits first would round twice.
    """
    dropped = np.clip(-1074 - power, 11, 64).astype(np.uint64)
    one = np.uint64(1)
    kept = mantissa >> dropped
    rest = mantissa - (kept << dropped)
    half = one << (dropped - one)
    kept += (rest > half) | ((rest == half) & (kept & one == one))
    exponent = power + dropped.astype(np.int64)
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(kept.astype(np.float64), exponent.astype(np.int32))


def _padded(limbs: Sequence[Ints], width: int, zero: Ints) -> tuple[Ints, ...]:
    return (*limbs, *([zero] * (width - len(limbs))))


def _carried(limbs: Sequence[Ints]) -> list[Ints]:
    """The same number with every limb but the last from 0 to 2^32 - 1."""
    result = []
    carry: Ints | int = 0
    for limb in limbs[:-1]:
        total = limb + carry
        result.append(total & _MASK)
        carry = total >> _BITS
    result.append(limbs[-1] + carry)
    return result


def _window(mantissa: Ints, shift: Ints, low: int) -> Ints:
    """Bits low … low + 31 of mantissa << shift, for mantissas below 2^53."""
    right = np.clip(low - shift, 0, 63)
    left = np.clip(shift - low, 0, _BITS)
    kept = np.where(left > 0, mantissa & ((1 << (_BITS - left)) - 1), (mantissa >> right) & _MASK)
    return kept << left
