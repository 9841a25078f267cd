"""Windows: which span of event time a value at time t looks at.

Times are int64 milliseconds UTC. Spans are closed on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace_features.definitions.durations import DAY_MS, canonical, floor_to, parse_duration
from headrace_schemas.errors import ConfigurationError

#: Before every event: the lower edge of a window without one.
BEGINNING_MS = -(2**62)


def _set(window: Window, **texts: str) -> None:
    """Spell durations canonically, and note how long they are: they are asked for at every read."""
    for name, text in texts.items():
        object.__setattr__(window, name, canonical(text))
        object.__setattr__(window, f"{name}_ms", parse_duration(text))


def _length() -> Any:
    """A length in milliseconds beside the text that says it."""
    return field(init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Sliding:
    """Events with ``t - size < ts <= t``, moved into the past by ``delay``.

    With a ``hop`` the old edge is coarse, ``floor_hop(t - size + 1) <= ts``, which bounds the
    state of a busy entity; with a delay as well the new edge is coarse too, so that a delayed
    window is made of whole hops.
    """

    size: str
    hop: str = "1ms"
    delay: str = "0ms"
    size_ms: int = _length()
    hop_ms: int = _length()
    delay_ms: int = _length()

    def __post_init__(self) -> None:
        """Spell the durations canonically and refuse a hop that doesn't fit."""
        _set(self, size=self.size, hop=self.hop, delay=self.delay)
        if self.size_ms == 0 or self.hop_ms == 0:
            msg = "the size and the hop of a sliding window are longer than zero"
            raise ConfigurationError(msg)
        if self.size_ms % self.hop_ms:
            msg = f"the hop {self.hop} does not divide its window of {self.size}"
            raise ConfigurationError(msg, hint="choose a hop that divides the size")
        if DAY_MS % self.hop_ms and self.hop_ms % DAY_MS:
            msg = f"the hop {self.hop} neither divides one day nor is a multiple of it"
            raise ConfigurationError(msg, hint="for example 5m, 1h or 1d")

    def span(self, time_ms: int) -> tuple[int, int]:
        """First and last event time inside the window at a time."""
        end_ms = time_ms - self.delay_ms
        start_ms = floor_to(end_ms - self.size_ms + 1, self.hop_ms)
        if self.delay_ms:
            end_ms = floor_to(end_ms + 1, self.hop_ms) - 1
        return start_ms, end_ms

    @property
    def label(self) -> str:
        """How the window is written in a feature's name."""
        hop = "" if self.hop_ms == 1 else f"_hop_{self.hop}"
        return self.size + hop + _delayed(self.delay)


@dataclass(frozen=True, slots=True)
class Tumbling:
    """Events since the last multiple of ``size``: ``floor_size(t) <= ts <= t``."""

    size: str
    delay: str = "0ms"
    size_ms: int = _length()
    delay_ms: int = _length()

    def __post_init__(self) -> None:
        """Spell the durations canonically and refuse an empty window."""
        _set(self, size=self.size, delay=self.delay)
        if self.size_ms == 0:
            msg = "the size of a tumbling window is longer than zero"
            raise ConfigurationError(msg)

    def span(self, time_ms: int) -> tuple[int, int]:
        """First and last event time inside the window at a time."""
        end_ms = time_ms - self.delay_ms
        return floor_to(end_ms, self.size_ms), end_ms

    @property
    def label(self) -> str:
        """How the window is written in a feature's name."""
        return f"tumbling_{self.size}{_delayed(self.delay)}"


@dataclass(frozen=True, slots=True)
class Session:
    """The newest chain of events up to t whose neighbours are at most ``gap`` apart.

    Empty once more than ``gap`` has passed since the chain's last event.
    """

    gap: str
    delay: str = "0ms"
    gap_ms: int = _length()
    delay_ms: int = _length()

    def __post_init__(self) -> None:
        """Spell the durations canonically and refuse an empty gap."""
        _set(self, gap=self.gap, delay=self.delay)
        if self.gap_ms == 0:
            msg = "the gap of a session window is longer than zero"
            raise ConfigurationError(msg)

    @property
    def label(self) -> str:
        """How the window is written in a feature's name."""
        return f"session_{self.gap}{_delayed(self.delay)}"


@dataclass(frozen=True, slots=True)
class Unbounded:
    """No window: all events up to t."""

    delay: str = "0ms"
    delay_ms: int = _length()

    def __post_init__(self) -> None:
        """Spell the delay canonically."""
        _set(self, delay=self.delay)

    def span(self, time_ms: int) -> tuple[int, int]:
        """First and last event time inside the window at a time."""
        return BEGINNING_MS, time_ms - self.delay_ms

    @property
    def label(self) -> str:
        """How the window is written in a feature's name."""
        return _delayed(self.delay).removeprefix("_")


Window = Sliding | Tumbling | Session | Unbounded


def _delayed(delay: str) -> str:
    return f"_delayed_{delay}" if parse_duration(delay) else ""


def lookback_ms(window: Window) -> int | None:
    """How far before t an event can still matter; None where there is no bound.

    A session has none: its chain may be as long as events keep coming.
    """
    if isinstance(window, Session | Unbounded):
        return None
    coarse_ms = window.hop_ms if isinstance(window, Sliding) else 1
    return window.size_ms + window.delay_ms + coarse_ms
