"""The hash of a stream layer tells contents apart, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_features.online.store import Change
from headrace_orchestration.versions.listing import content_hash
from online_stores import apply, change

VIEW = "a:v1:ff"


def hash_of(place: Path, changes: Sequence[Change]) -> str | None:
    store = SqliteStateStore(place)
    for one in changes:
        apply(store, one)
    return content_hash(store, VIEW)


def of(
    field: str, content: bytes, *, entity: str = "a", epoch: int = 1, sequence: int = 1
) -> Change:
    return change(field, epoch, sequence, content, view=VIEW, entity=entity)


def test_neither_order_nor_deployments_nor_sequences_are_part_of_it(tmp_path: Path) -> None:
    one = [of("r1", b"x"), of("r2", b"y"), of("r1", b"z", entity="b")]
    other = [
        of("r1", b"z", entity="b", epoch=7),
        of("r2", b"y", sequence=9),
        of("r1", b"before"),
        of("r1", b"x", sequence=2),
    ]
    assert hash_of(tmp_path / "1.db", one) == hash_of(tmp_path / "2.db", other)


def test_every_content_entity_and_field_is_part_of_it(tmp_path: Path) -> None:
    cases = [
        [of("r1", b"x")],
        [of("r1", b"y")],
        [of("r2", b"x")],
        [of("r1", b"x", entity="b")],
        [of("r1", b"x"), of("r2", b"x")],
        [of("", b"r1x")],
        [],
    ]
    hashes = {hash_of(tmp_path / f"{number}.db", case) for number, case in enumerate(cases)}
    assert len(hashes) == len(cases)
    assert None in hashes
