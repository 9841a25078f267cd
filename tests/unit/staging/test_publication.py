"""A set takes the place of another at once, and former ones stay for whoever reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from headrace_batch.staging.publication import is_whole, publish, published, require_free, settle
from headrace_batch.staging.target import Target
from headrace_schemas.errors import ConfigurationError, RetryableError
from headrace_shards import Loader, Source
from headrace_shards.compression import compressed
from headrace_shards.manifest import COMPRESSED, File, Manifest
from published_sets import ROWS, files_of, made, publish_at, rows_of


def test_as_many_former_sets_stay_as_are_kept_and_older_ones_go(tmp_path: Path) -> None:
    sets = [publish_at(tmp_path, number) for number in range(4)]
    for number in (3, 2, 1):
        loader = Loader(tmp_path, batch_size=30, digest=sets[number].digest)
        assert rows_of(loader) == list(range(number * 1_000, number * 1_000 + ROWS))
    with pytest.raises(ConfigurationError, match="no set is there any more"):
        Loader(tmp_path, batch_size=30, digest=sets[0].digest)
    assert files_of(tmp_path) == sorted(
        [
            "manifest.json",
            "manifest.copy.json",
            "train/index.json",
            *(f"manifests/{sets[number].digest}.json" for number in (1, 2)),
            *(f"train/shard.00000-{number:08}.mds" for number in (1, 2, 3)),
        ]
    )


def test_a_reader_of_the_former_set_goes_on_while_others_take_its_place(tmp_path: Path) -> None:
    publish_at(tmp_path, 1)
    reading = iter(Loader(tmp_path, batch_size=10, prefetch=0))
    found = [row for batch in islice(reading, 2) for row in batch["ids"][:, 0].tolist()]
    publish_at(tmp_path, 2)
    publish_at(tmp_path, 3)
    found += [row for batch in reading for row in batch["ids"][:, 0].tolist()]
    assert sorted(found) == list(range(1_000, 1_000 + ROWS))


def test_the_same_rows_again_take_one_place_among_those_that_are_kept(tmp_path: Path) -> None:
    first = publish_at(tmp_path, 1)
    second = publish_at(tmp_path, 2)
    assert publish_at(tmp_path, 1).kept == (second.digest,)
    assert publish_at(tmp_path, 3).kept == (first.digest, second.digest)
    assert rows_of(Loader(tmp_path, batch_size=30, digest=first.digest))[0] == 1_000


@pytest.mark.parametrize("numbers", [(1, 1, 1), (2, 1, 2, 1)])
def test_a_reader_goes_on_while_the_same_rows_are_published_again_and_again(
    numbers: tuple[int, ...], tmp_path: Path
) -> None:
    publish_at(tmp_path, 1)
    reading = iter(Loader(tmp_path, batch_size=10, prefetch=0))
    for attempt, number in enumerate(numbers):
        publish(Target(str(tmp_path)), made(tmp_path, number, attempt=attempt), 1, lambda: None)
    found = sorted(row for batch in reading for row in batch["ids"][:, 0].tolist())
    assert found == list(range(1_000, 1_000 + ROWS))
    assert len(list(tmp_path.glob("train/shard.*"))) == len(set(numbers))


def test_a_reader_goes_on_while_the_same_rows_are_published_compressed(tmp_path: Path) -> None:
    publish_at(tmp_path, 1)
    reading = iter(Loader(tmp_path, batch_size=10, prefetch=0))
    plain = made(tmp_path, 1, attempt=7)
    (shard,) = plain.splits["train"]
    content = compressed((tmp_path / shard.path("train")).read_bytes())
    small = replace(shard, compressed=File.holding(f"{shard.raw.name}{COMPRESSED}", content))
    target = Target(str(tmp_path))
    target.write(small.path("train"), content)
    second = publish(target, replace(plain, splits={"train": (small,)}), 1, lambda: None)
    assert second.splits == {"train": (small,)}
    found = sorted(row for batch in reading for row in batch["ids"][:, 0].tolist())
    assert found == list(range(1_000, 1_000 + ROWS))
    assert rows_of(Loader(tmp_path, batch_size=10, cache=tmp_path / "cache")) == found
    # They go with the rows: also where these have become a former set meanwhile.
    reading = iter(Loader(tmp_path, batch_size=10, prefetch=0, cache=tmp_path / "cache"))
    again = publish(target, made(tmp_path, 1, attempt=8), 1, lambda: None)
    assert again.splits["train"] != (small,)
    assert sorted(row for batch in reading for row in batch["ids"][:, 0].tolist()) == found
    assert len(list(tmp_path.glob("train/shard.*"))) == 3
    publish_at(tmp_path, 2, keep=1)
    assert len(list(tmp_path.glob("train/shard.*"))) == 4
    publish_at(tmp_path, 3, keep=1)
    assert len(list(tmp_path.glob("train/shard.*"))) == 2


def test_of_a_set_that_is_published_again_whole_shards_stay_and_damaged_ones_do_not(
    tmp_path: Path,
) -> None:
    target = Target(str(tmp_path))
    first = publish_at(tmp_path, 1, "train", "valid")
    assert is_whole(target, first)
    damaged = tmp_path / "valid" / first.splits["valid"][0].stored.name
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 1
    damaged.write_bytes(content)
    assert not is_whole(target, first)
    again = publish(target, made(tmp_path, 1, "train", "valid", attempt=7), 2, lambda: None)
    assert again.splits["train"] == first.splits["train"]
    assert is_whole(target, again)
    assert not damaged.exists()
    assert rows_of(Loader(Source(tmp_path, "valid"), batch_size=30))[0] == 1_000


def test_what_a_killed_publication_left_to_do_is_done_by_the_next_one_of_the_same_set(
    tmp_path: Path,
) -> None:
    publish_at(tmp_path, 1, "train", "valid", keep=1)
    manifest = publish_at(tmp_path, 2, "train", keep=1)
    expected = files_of(tmp_path)
    index = tmp_path / "train/index.json"
    whole = index.read_bytes()
    # Right after the manifest there is the index of the former set, and all that is over.
    index.write_text("{}")
    for name in ("valid/index.json", "train/shard.00007-abc.mds", f"manifests/{'0' * 64}.json"):
        (tmp_path / name).write_text("left")
    (tmp_path / "notes.txt").write_text("mine")
    settle(Target(str(tmp_path)), manifest, lambda: None)
    assert files_of(tmp_path) == sorted([*expected, "notes.txt"])
    assert index.read_bytes() == whole


def test_a_former_set_that_nobody_can_open_is_in_no_publication_s_way(tmp_path: Path) -> None:
    first = publish_at(tmp_path, 1)
    second = publish_at(tmp_path, 2)
    damaged = tmp_path / f"manifests/{first.digest}.json"
    damaged.write_text("{}")
    publish_at(tmp_path, 3)
    assert not damaged.exists()
    assert rows_of(Loader(tmp_path, batch_size=30, digest=second.digest))[0] == 2_000
    assert rows_of(Loader(tmp_path, batch_size=30))[0] == 3_000


def test_an_index_never_names_files_that_are_gone(tmp_path: Path) -> None:
    """Also where all of a publication fails right after its manifest is there."""
    publish_at(tmp_path, 1, keep=1)

    for number in (2, 3):
        before = published(Target(str(tmp_path)))

        def taken_over(before: Manifest | None = before) -> None:
            if published(Target(str(tmp_path))) != before:
                raise RetryableError("another process has taken over")

        with pytest.raises(RetryableError, match="taken over"):
            publish(Target(str(tmp_path)), made(tmp_path, number), 1, taken_over)
        (shard,) = json.loads((tmp_path / "train/index.json").read_bytes())["shards"]
        assert shard["raw_data"]["basename"] == "shard.00000-00000001.mds"
        assert (tmp_path / "train" / shard["raw_data"]["basename"]).exists()
    assert rows_of(Loader(tmp_path, batch_size=30))[0] == 3_000


@pytest.mark.parametrize(
    ("content", "said"), [(None, "is not there"), (b"short", "has 5 bytes, and")]
)
def test_nothing_is_published_whose_shards_are_not_as_they_were_written(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    former = publish_at(tmp_path, 1)
    manifest = made(tmp_path, 2)
    path = tmp_path / "train" / manifest.split("train")[0].raw.name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RetryableError, match=said):
        publish(Target(str(tmp_path)), manifest, 2, lambda: None)
    assert published(Target(str(tmp_path))) == former


def test_a_place_with_other_files_than_those_of_sets_is_not_free(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / f"manifests/{'a' * 64}.json").write_text("{}")
    require_free(Target(str(tmp_path)))
    (tmp_path / "manifests/app.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"has other files, such as manifests/app\.json"):
        require_free(Target(str(tmp_path)))
