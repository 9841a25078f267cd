"""A publisher who is paused for longer than its lease replaces nobody's set by one that is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headrace_batch.staging.publication import is_whole, publish, published, set_at, settle
from headrace_batch.staging.target import Target
from headrace_schemas.errors import RetryableError
from headrace_shards import Loader
from headrace_shards.errors import DamagedShardError
from headrace_shards.manifest import FILE, Manifest
from published_sets import ROWS, files_of, made, publish_at, rows_of

KEEPS = pytest.mark.parametrize("keep", [0, 2])


@dataclass(frozen=True)
class Paused(Target):
    """A place; who writes a manifest there, or deletes, is paused until something has happened.

    Attributes:
        before_write: what happens before a manifest is written, the first time, the second, ...
        before_delete: likewise.
        past: what has happened.
    """

    before_write: tuple[Callable[[], object], ...] = ()
    before_delete: tuple[Callable[[], object], ...] = ()
    past: dict[str, int] = field(default_factory=dict)

    def write(self, name: str, content: bytes) -> None:
        if name == FILE:
            self._wait("write", self.before_write)
        super().write(name, content)

    def delete(self, names: Iterable[str]) -> None:
        self._wait("delete", self.before_delete)
        super().delete(names)

    def still_ours(self) -> None:
        if self.past:
            raise RetryableError("another process has taken over")

    def _wait(self, what: str, happens: tuple[Callable[[], object], ...]) -> None:
        number = self.past.get(what, 0)
        if number < len(happens):
            self.past[what] = number + 1
            happens[number]()


def publish_paused(target: Paused, manifest: Manifest, keep: int) -> None:
    with pytest.raises(RetryableError, match="taken over"):
        publish(target, manifest, keep, target.still_ours)


def require_whole(place: Path, number: int) -> None:
    """All rows of a set are read, and all that it keeps is there."""
    target = Target(str(place))
    manifest = published(target)
    assert manifest is not None
    assert is_whole(target, manifest)
    assert rows_of(Loader(place, batch_size=30)) == list(
        range(number * 1_000, number * 1_000 + ROWS)
    )
    for digest in manifest.kept:
        assert len(rows_of(Loader(place, batch_size=30, digest=digest))) == ROWS


@KEEPS
@pytest.mark.parametrize("others", [(3,), (2,), (3, 4), (3, 4, 5)])
def test_one_that_wakes_right_before_its_manifest_gives_back_what_has_overtaken_it(
    others: tuple[int, ...], keep: int, tmp_path: Path
) -> None:
    """Also where that is of the same rows, and where further ones overtake what it gives back."""
    publish_at(tmp_path, 1, keep=keep)

    def overtaking(number: int) -> Callable[[], object]:
        return lambda: publish(
            Target(str(tmp_path)), made(tmp_path, number, attempt=number), keep, lambda: None
        )

    manifest = made(tmp_path, 2)
    before = tuple(overtaking(number) for number in others)
    publish_paused(Paused(str(tmp_path), before_write=before), manifest, keep)
    require_whole(tmp_path, others[-1])
    # The next one finds nothing that isn't as ever.
    publish_at(tmp_path, 6, keep=keep)
    require_whole(tmp_path, 6)
    target = Target(str(tmp_path))
    current = set_at(target, None)
    sets = [current, *(set_at(target, digest) for digest in current.kept)]
    assert {name for name in files_of(tmp_path) if name.endswith(".mds")} == {
        shard.path("train") for one in sets for shard in one.split("train")
    }


@KEEPS
def test_one_that_wakes_gives_back_a_set_that_was_there_and_was_left_alone(
    keep: int, tmp_path: Path
) -> None:
    former = publish_at(tmp_path, 1, keep=keep)
    manifest = made(tmp_path, 2)
    again = (lambda: settle(Target(str(tmp_path)), former, lambda: None),)
    publish_paused(Paused(str(tmp_path), before_write=again), manifest, keep)
    require_whole(tmp_path, 1)


@KEEPS
@pytest.mark.parametrize("deletion", [1, 4])
def test_what_one_that_was_overtaken_writes_while_the_other_still_deletes_is_replaced(
    deletion: int, keep: int, tmp_path: Path
) -> None:
    """Whatever becomes of the one that was overtaken."""
    publish_at(tmp_path, 1, keep=keep)
    late = made(tmp_path, 2)

    def wakes() -> None:
        Target(str(tmp_path)).write(FILE, late.encoded())

    before = (*[lambda: None] * (deletion - 1), wakes)
    target = Paused(str(tmp_path), before_delete=before)
    publish(target, made(tmp_path, 3), keep, lambda: None)
    require_whole(tmp_path, 3)


@KEEPS
def test_one_that_wakes_right_before_it_deletes_takes_nothing_from_what_has_overtaken_it(
    keep: int, tmp_path: Path
) -> None:
    publish_at(tmp_path, 1, keep=keep)
    overtakes = (lambda: publish_at(tmp_path, 3, keep=keep),)
    target = Paused(str(tmp_path), before_delete=overtakes)
    publish_paused(target, made(tmp_path, 2), keep)
    require_whole(tmp_path, 3)


def test_of_one_that_is_killed_right_after_such_a_manifest_readers_say_what_is_gone(
    tmp_path: Path,
) -> None:
    publish_at(tmp_path, 1, keep=0)
    manifest = made(tmp_path, 2)
    publish_at(tmp_path, 3, keep=0)
    Target(str(tmp_path)).write(FILE, manifest.encoded())
    with pytest.raises(DamagedShardError, match=r"00000002\.mds is damaged: there is no such file"):
        list(Loader(tmp_path, batch_size=30))
    publish_at(tmp_path, 4, keep=0)
    require_whole(tmp_path, 4)
