"""Since when the stream layer has every event of a view, from what deployments have announced.

What a deployment that began anew has not read was sent before the first record that it read, and
before it was announced. So it lacks no event whose time is later than that, by more than how late
an event may be. Where there are events that never were in the topic, they are from before its
very first record. One that began with the lake tells since when it has what is there.

One that goes on from another state than the newest has what its deployments have, and takes some
of it in again: it is told from these, as it has to catch up first. If others that it doesn't go on
from have written since, some fields are as those have left them: it has what was sent since it goes
on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from headrace_features.online.layers import ALWAYS_MS, NEVER_MS
from headrace_features.online.served import view_key
from headrace_schemas.event_times import MOST_AHEAD_MS
from headrace_streaming.writer.line import line_of

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_features.definitions.views import FeatureView
    from headrace_streaming.kafka.epochs import Announcement, Deployed

    #: By partition, when records about an offset were sent; and for a topic and offsets, that.
    Around = Mapping[int, "SentAround"]
    Sent = Callable[[str, Mapping[int, int]], Around]


class SentAround(NamedTuple):
    """When records about an offset were sent, ms UTC; None for one that isn't there.

    Attributes:
        first_ms: the first one from the offset on.
        before_ms: the last one before it.
    """

    first_ms: int | None
    before_ms: int | None


class Coverage(NamedTuple):
    """Since when a deployment, and those that go on from it, have all events of a view.

    Attributes:
        epoch: of the newest deployment that has to catch up.
        since_ms: all events are there from this time on, ms UTC.
        began: the deployment of which that is known.
        holds_from: what is known of this deployment, or of a later one, is known of the newest.
    """

    epoch: int
    since_ms: int
    began: int
    holds_from: int


def coverage_of(
    deployed: Sequence[Deployed],
    started: Mapping[int, int | None],
    views: Iterable[FeatureView],
    sent: Sent,
) -> dict[str, Coverage]:
    """By the key of a view what its newest deployment says of it; nothing where none is known.

    Args:
        deployed: the deployments of the project, in their order.
        started: see `line_of`.
        views: those that are declared.
        sent: tells when records of a topic were sent.
    """
    found: dict[str, Coverage] = {}
    line = line_of(deployed, started)
    if line is None:
        return found
    around: dict[tuple[int, str], Mapping[int, SentAround]] = {}

    def sent_around(epoch: int, source: EventSource, offsets: Mapping[int, int]) -> Around:
        place = epoch, source.name
        if place not in around:
            around[place] = sent(source.topic, offsets) if offsets else {}
        return around[place]

    for view in views:
        newest = _newest(line.members, view)
        since_ms = None if newest is None else _since_ms(newest, view, sent_around)
        if newest is None or since_ms is None:
            continue
        later = [one for one in line.members if one.epoch > newest.epoch]
        epoch = max([newest.epoch, *(one.epoch for one in later if not one.told.newest_state)])
        holds_from = newest.epoch
        for one in line.aside:
            if one.epoch > newest.epoch and _writes(one.told, view) is not False:
                back = line.back_from(one)
                holds_from, epoch = back.epoch, max(epoch, back.epoch)
                if one.epoch in line.wrote:
                    since_ms = max(since_ms, back.at_ms + _lateness_ms(back.told))
        found[view_key(view)] = Coverage(epoch, since_ms, newest.epoch, holds_from)
    return found


def _lateness_ms(told: Announcement) -> int:
    """How much older than its sending an event may be: it may also lie ahead of that."""
    return max(told.lateness_ms or 0, MOST_AHEAD_MS)


def _since_ms(
    newest: Deployed,
    view: FeatureView,
    sent_around: Callable[[int, EventSource, Mapping[int, int]], Around],
) -> int | None:
    """Since when a deployment has all events of a view, ms UTC; None where it doesn't tell."""
    told, source = newest.told, view.source
    lateness_ms = _lateness_ms(told)
    if not _writes(told, view):
        return NEVER_MS
    if told.since_ms is not None:
        return told.since_ms.get(source.name, ALWAYS_MS)
    if not told.anew:
        # It writes a view that the one before it didn't: all that was sent since.
        return newest.at_ms + lateness_ms
    if told.starts is None:
        return None
    starts = told.starts.get(source.name, {})
    apart = source.name in (told.also_in_files or ())
    wanted = {number: offset for number, offset in starts.items() if offset > 0 or apart}
    return complete_since(
        starts,
        sent_around(newest.epoch, source, wanted),
        announced_ms=newest.at_ms,
        lateness_ms=lateness_ms,
        whole=not apart,
    )


def complete_since(
    starts: Mapping[int, int],
    around: Mapping[int, SentAround],
    *,
    announced_ms: int,
    lateness_ms: int,
    whole: bool = True,
) -> int:
    """Since which event time all events were read, ms UTC.

    Args:
        starts: by partition the offset of the first record that was read.
        around: by partition, when records about its start were sent.
        announced_ms: when the deployment was announced.
        lateness_ms: how late an event may be.
        whole: whether all events there are were in the topic.
    """
    sent_ms = {}
    for partition in starts:
        first_ms, before_ms = around.get(partition, SentAround(None, None))
        known_ms = before_ms if first_ms is None else first_ms
        sent_ms[partition] = announced_ms if known_ms is None else min(known_ms, announced_ms)
    times = [sent_ms[partition] for partition, offset in starts.items() if offset > 0]
    if not whole:
        # All partitions are sent to since the first of them was.
        times.append(min(sent_ms.values(), default=announced_ms))
    return max(times) + lateness_ms if times else ALWAYS_MS


def _newest(deployed: Sequence[Deployed], view: FeatureView) -> Deployed | None:
    """The deployment from which on a view is written without a gap, or no longer."""
    found = None
    for one in deployed:
        writes = _writes(one.told, view)
        if writes is None:
            # One that goes on says nothing new.
            found = None if one.told.anew else found
        elif one.told.anew or found is None or writes != _writes(found.told, view):
            found = one
    return found


def _writes(told: Announcement, view: FeatureView) -> bool | None:
    """Whether a deployment writes a view with just this meaning; None if it doesn't tell.

    Older ones tell the names of features alone.
    """
    if told.views is not None:
        return view_key(view) in told.views
    if told.features is not None:
        return told.features.get(view.name) == list(view.feature_names)
    return None
