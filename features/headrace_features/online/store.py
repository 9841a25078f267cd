"""What an online store keeps and promises, whatever it is made of.

The state of an entity in a view version is two sets of named fields. The batch layer's belong to a
generation, of which readers see the one that a pointer names; the stream layer's each have the
version of the event that changed them last.

A stream may be written several times over, each time in a namespace: a short name, of which "" is
the first. There its views have keys of their own, and how far it has come is noted apart. Which one
readers are to have is said by a document beside all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol, runtime_checkable

from headrace_features.leases import UNCLAIMED, Claim
from headrace_features.online.layers import ALWAYS_MS, NO_LAYERS, Generation, Had, Layers, LayerSize
from headrace_features.state.read import Found
from headrace_schemas.errors import ConfigurationError, RetryableError


class Wanted(NamedTuple):
    """State that is asked for, of entities of one view.

    Attributes:
        view: key of the view version.
        entities: bytes of their keys.
        fields: of the batch layer; None is all there are. All of the stream's are read.
        enough: so many of the first fields are all that is needed of an entity that has the very
            first: a store needn't look for the others.
    """

    view: str
    entities: Sequence[bytes]
    fields: Sequence[str] | None
    enough: int = 1


class Reading(NamedTuple):
    """What was read.

    Attributes:
        layers: of each view, as they are now.
        found: for each that was wanted the fields of its entities; None if a batch layer is no
            longer the one known, or ends elsewhere.
        versions: the number of the document of versions when that had been read.
    """

    layers: Mapping[str, Layers]
    found: Sequence[Sequence[Found]] | None
    versions: int


class Noted(NamedTuple):
    """The document of versions, which says what readers are to have.

    Attributes:
        number: rises by one with each that is noted; 0 where none ever was.
        content: of it; the store doesn't look into it.
    """

    number: int
    content: bytes


class Row(NamedTuple):
    """A field of a batch layer; its content is empty if a generation no longer has it."""

    entity: bytes
    field: str
    content: bytes


class Change(NamedTuple):
    """The new content of a field of the stream layer.

    Attributes:
        view: key of the view version.
        entity: bytes of the entity's key.
        field: its name.
        epoch: number of the deployment that wrote it.
        sequence: number of the event among those of the entity.
        event_time_ms: of that event, ms UTC.
        content: empty if nothing is there any more.
    """

    view: str
    entity: bytes
    field: str
    epoch: int
    sequence: int
    event_time_ms: int
    content: bytes


class Progress(NamedTuple):
    """How far the stream layer has come with one partition of updates.

    Attributes:
        next_offset: all updates before it are in the store.
        current_ms: when the writer last had everything that there was, ms UTC.
    """

    next_offset: int
    current_ms: int


class Written(NamedTuple):
    """What became of some changes.

    Attributes:
        refused: how many the store had newer content for.
        resume: where to go on instead, for partitions whose progress was not what the writer
            took it for: another one has written, or the store was emptied (0).
        overtaken: whether a writer of other views has begun, so that nothing was noted.
    """

    refused: int
    resume: Mapping[int, int]
    overtaken: bool = False


class StateStore(Protocol):
    """Keeps the state of entities; safe for threads, processes and forks.

    It may be sent to another process, which has connections of its own.

    `apply`, `include`, `progress` and `drop` know of the progress of one namespace, that of the
    store. All else is the same in every namespace.

    Every call raises RetryableError if the store doesn't answer in time or is full, and
    ConfigurationError if it can't be used at all.
    """

    def read(self, known: Mapping[str, Layers], wanted: Sequence[Wanted]) -> Reading:
        """The layers of some views and the fields of some entities, in one round trip.

        Args:
            known: the layers of the views as they were last read; `NO_LAYERS` at first.
            wanted: entities of these views.
        """

    def begin(
        self,
        view: str,
        boundary_ms: int,
        claim: Claim = UNCLAIMED,
        *,
        goes_on: bool = False,
        above: int = 0,
    ) -> Generation:
        """Start a generation of a view's batch layer; one that was being built is given up.

        Args:
            view: key of the view version.
            boundary_ms: of the generation.
            claim: who builds it.
            goes_on: whether it goes on from the one that readers have, so that only what differs
                is written.
            above: its id is to be greater.

        Raises:
            LeaseHeldError: somebody else is building one.
            ConfigurationError: readers have a generation with a later boundary already.
            RetryableError: there is none to go on from.
        """

    def renew(self, generation: Generation, until_ms: int) -> None:
        """Hold the lease of a generation for longer.

        Raises:
            RetryableError: another writer has begun a generation of the same view since.
        """

    def kept(
        self, generation: Generation, wanted: Iterable[tuple[bytes, Sequence[str] | None]]
    ) -> list[Mapping[str, bytes]]:
        """What entities have in the generation that another one goes on from.

        Args:
            generation: the one that is being built.
            wanted: entities, and which of their fields; None is all.
        """

    def write(self, generation: Generation, rows: Iterable[Row]) -> int:
        """Add fields to a generation; returns how many. All of an entity come in one call.

        Several processes may do so at once, each for entities of its own. What has been added
        may be added again as it was.

        Raises:
            RetryableError: the generation has been published, or another writer has begun one of
                the same view since.
        """

    def publish(self, generation: Generation, had: Had) -> None:
        """Let readers see a generation instead of the one before it, in one step.

        The fields of the one before it go once no reader can be at them any more, and of the stream
        layer what both of them cover. Beside the first one all of that stays: readers may not have
        learned of it.

        Args:
            generation: all of it is written.
            had: what there was to write.

        Raises:
            RetryableError: another writer has begun a generation of the same view since.
            ConfigurationError: readers have one with a later boundary by now.
        """

    def apply(
        self,
        changes: Sequence[Change],
        progress: Mapping[int, Progress],
        held: Mapping[int, int],
        now_ms: int,
        views: Collection[str] = (),
    ) -> Written:
        """Put changes into the stream layer, then note how far that goes.

        A field is set unless its version there is newer. All changes of an entity are seen at once.

        Args:
            changes: in the order of the topic.
            progress: by partition, once the changes are in.
            held: by partition the next offset that the store should have; -1 for none.
            now_ms: the time of writing, ms UTC.
            views: the keys of those whose updates are written, as `include` was given them; none
                is any.
        """

    def include(self, views: Collection[str]) -> bool:
        """Have the stream layer hold every update of some views, and from now on of no others.

        Where it has come somewhere without one of them, its progress is forgotten: whoever writes
        begins with the oldest update that there is. Writers of other views are refused from now
        on: they would pass over what these need.

        Returns:
            Whether progress was forgotten.
        """

    def progress(self) -> Mapping[int, Progress]:
        """How far the stream layer has come, by partition."""

    def covers(self, view: str, epoch: int, since_ms: int) -> None:
        """Note from when on a deployment and those that go on from it have all events of a view.

        What an older deployment says changes nothing, nor does an earlier time of the same one: it
        may have turned out since to lack more. Of a newer one it isn't known yet up to when it has
        all that was sent.
        """

    def caught_up(self, views: Mapping[str, int], current_ms: int) -> None:
        """Note that the stream layer has all events of some views that were sent by a time.

        Args:
            views: for the key of each the deployment of which that is known; if that isn't the
                one which the store goes by, nothing is noted.
            current_ms: ms UTC; an earlier one than what is known changes nothing.
        """

    def versions(self) -> Noted:
        """The document of versions."""

    def note_versions(self, content: bytes, held: int) -> bool:
        """Put another document of versions in the place of the one that is there, in one step.

        Args:
            content: of the new one, whose number is the next.
            held: the number that the one which is there should have.

        Returns:
            Whether it had; otherwise that one stays.
        """

    def contents(self, view: str) -> Iterator[tuple[bytes, str, bytes]]:
        """Entity, field and content of the stream layer of a view, some at a time.

        In any order, and without those of which nothing is there any more. What is changed
        meanwhile may be given as it was or as it is.
        """

    def sizes(self) -> list[LayerSize]:
        """What each layer of each view takes, of all views that anything is kept of.

        Everything that there is is looked at, some at a time.
        """

    def drop(self, views: Collection[str]) -> None:
        """Delete all that is kept of some views, and the progress of the namespace before it.

        Nobody is to write, read or materialize them any more. One that was interrupted may be
        repeated.

        Args:
            views: their keys; what others have stays.
        """

    def remove(self) -> None:
        """Delete everything that is kept, in all namespaces, but the document of versions."""


@runtime_checkable
class AsyncReads(Protocol):
    """A store that can be read without a thread that waits."""

    async def read_async(self, known: Mapping[str, Layers], wanted: Sequence[Wanted]) -> Reading:
        """What `StateStore.read` gives, for the tasks of one event loop."""

    async def aclose(self) -> None:
        """End what the running event loop has open."""


def layers_of(store: StateStore, views: Iterable[str]) -> Mapping[str, Layers]:
    """The layers of some views, by their keys."""
    return store.read(dict.fromkeys(views, NO_LAYERS), ()).layers


def nothing_before(view: str) -> RetryableError:
    """There is no generation to go on from."""
    message = f"the online store has no batch layer of {view_name(view)} any more"
    return RetryableError(message, hint="run it again, which builds it anew")


def being_materialized(view: str) -> str:
    """What goes on while somebody has the lease of a view's generation."""
    return f"{view_name(view)} is being materialized"


def overtaken(view: str) -> RetryableError:
    """Another writer has begun a generation of the same view."""
    message = f"another materialization of {view_name(view)} has taken over"
    return RetryableError(message, hint="wait for it, then run this one again if needed")


def require_no_later(current: Generation | None, view: str, boundary_ms: int, place: str) -> None:
    """Refuse to put an older layer over a newer one, which would lose events in silence.

    Raises:
        ConfigurationError: readers have a generation with a later boundary.
    """
    if current is not None and current.boundary_ms > boundary_ms:
        held, asked = (
            datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
            for ms in (current.boundary_ms, boundary_ms)
        )
        message = f"the online store holds {view_name(view)} up to {held}, later than {asked}"
        raise ConfigurationError(message, hint=f"give a later --date; to start anew: {place}")


def newest(changes: Iterable[Change]) -> dict[tuple[str, bytes], dict[str, Change]]:
    """Of changes in the order of the topic the last word on each field, by entity."""
    found: dict[tuple[str, bytes], dict[str, Change]] = {}
    for change in changes:
        fields = found.setdefault((change.view, change.entity), {})
        before = fields.get(change.field)
        if before is None or change[3:5] >= before[3:5]:
            # Taken out first: the order is that of the last words.
            fields.pop(change.field, None)
            fields[change.field] = change
    return found


def newest_times(changes: Iterable[Change]) -> dict[str, int]:
    """The greatest event time of some changes, by view."""
    found: dict[str, int] = {}
    for change in changes:
        found[change.view] = max(found.get(change.view, ALWAYS_MS), change.event_time_ms)
    return found


def view_name(key: str) -> str:
    """What people call the view that is kept under a key of its meaning."""
    return key.partition(":")[0]


def views_noted(views: Collection[str]) -> str:
    """The views of a writer as stores keep them: keys have no blanks."""
    return " ".join(sorted(views))
