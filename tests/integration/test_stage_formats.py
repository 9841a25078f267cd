"""Training sets in tars and in Parquet: the same rows as in shards of the loader."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_batch.local_engine import LocalEngine
from headrace_batch.staging import shard_writing
from headrace_batch.staging.request import StageRequest
from headrace_batch.staging.run import stage
from headrace_batch.staging.shard_formats import Format
from headrace_batch.staging.spine import Label
from headrace_batch.staging.splits import SplitRule
from headrace_batch.staging.target import Target
from headrace_batch.staging.verifying import VerifyReport, verify
from headrace_batch.warehouse import Warehouse
from headrace_features.fraud.definitions import fraud
from headrace_features.project import load_project
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.settings import Settings
from headrace_schemas.shard_kinds import Kind
from headrace_shards import Loader
from headrace_shards.manifest import Manifest
from headrace_shards.staged_set import StagedSet
from staged_sets import manifest_at

TARS = Format(Kind.WEBDATASET, {"picture": "jpg", "note": "txt"})


@pytest.fixture(scope="module")
def spine(lake: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Transactions with a picture and a note each, but for some."""
    place = tmp_path_factory.mktemp("spine") / "spine.parquet"
    events = Warehouse.of(lake).read("bronze.transactions").drop_columns(["event_date"])
    events = events.slice(0, 900).append_column("seen", pa.array([None, True, False] * 300))
    pictures = [bytes([number % 251]) * (number % 700) for number in range(900)]
    notes = [None if number % 5 == 0 else f"note {number} ✓" for number in range(900)]
    table = events.append_column("picture", pa.array(pictures, pa.binary()))
    pq.write_table(table.append_column("note", pa.array(notes)), place)
    return place


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of some hundred rows."""
    monkeypatch.setattr(shard_writing, "SHARD_BYTES", 1 << 18)


def staged(
    lake: Settings, spine: Path, out: Path, form: Format, engine: str = "local", **options: Any
) -> Manifest:
    request = StageRequest(
        **{
            "name": "fraud",
            "selections": fraud.asked,
            "spine": str(spine),
            "out": str(out),
            "label": Label(("amount_minor",)),
            "split": SplitRule(holdout=0.2, entity="card_id", seed=4),
            "left_out": () if form.payloads else ("picture", "note"),
            "format": form,
            **options,
        }
    )
    stage(lake, load_project(lake), request, engine, lambda _: None)
    return manifest_at(out)


def problems_of(lake: Settings, out: Path, manifest: Manifest) -> VerifyReport:
    return verify(lake, load_project(lake), Target(str(out)), manifest, 200)


def samples_of(out: Path, split: str) -> dict[int, dict[str, bytes]]:
    """The files of each sample by their extension, in the order of the tars."""
    found: dict[int, dict[str, bytes]] = {}
    for place in StagedSet.open(str(out)).files(split):
        with tarfile.open(place) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                file = tar.extractfile(member)
                assert file is not None
                found.setdefault(int(key), {})[extension] = file.read()
    return found


@pytest.mark.parametrize("engine", ["local", "spark"])
def test_a_sample_of_a_tar_has_its_columns_and_its_payloads(
    engine: str, lake: Settings, spine: Path, tmp_path: Path, spark: object
) -> None:
    del spark
    manifest = staged(lake, spine, tmp_path / "set", TARS, engine)
    table = pq.read_table(spine)
    kept = table.drop_columns(["picture", "note"])
    expected = LocalEngine(lake).history(fraud.asked, kept).to_pylist()
    found = {
        row: files
        for split in manifest.splits
        for row, files in samples_of(tmp_path / "set", split).items()
    }
    assert sorted(found) == list(range(len(expected)))
    for number, row in enumerate(table.select(["picture", "note"]).to_pylist()):
        files = found[number]
        assert json.loads(files["json"]) == {**expected[number], "row": number}
        assert files["jpg"] == row["picture"]
        note = row["note"]
        assert files.get("txt") == (None if note is None else note.encode())
    assert sum(len(shards) for shards in manifest.splits.values()) > 4


def test_both_engines_write_the_same_tars_in_the_order_of_the_loader_s_shards(
    lake: Settings, spine: Path, tmp_path: Path, spark: object
) -> None:
    del spark
    here = staged(lake, spine, tmp_path / "here", TARS)
    there = staged(lake, spine, tmp_path / "there", TARS, "spark")
    assert here.digest == there.digest
    staged(lake, spine, tmp_path / "mapped", Format(), left_out=("picture", "note"))
    mapped = Loader(tmp_path / "mapped", batch_size=64, block_rows=0, last="short")
    order = [one for batch in mapped for one in batch["ids"][:, 0].tolist()]
    assert order == list(samples_of(tmp_path / "here", "train"))


@pytest.mark.parametrize("engine", ["local", "spark"])
def test_parquet_has_the_columns_as_they_are(
    engine: str, lake: Settings, spine: Path, tmp_path: Path, spark: object
) -> None:
    del spark
    manifest = staged(lake, spine, tmp_path / "set", Format(Kind.PARQUET), engine)
    kept = pq.read_table(spine).drop_columns(["picture", "note"])
    expected = LocalEngine(lake).history(fraud.asked, kept).to_pylist()
    found = [
        row
        for split in manifest.splits
        for row in pq.read_table(StagedSet.open(str(tmp_path / "set")).files(split)).to_pylist()
    ]
    found.sort(key=lambda row: row["row"])
    assert found == [{**row, "row": number} for number, row in enumerate(expected)]
    assert not (tmp_path / "set/train/index.json").exists()
    assert problems_of(lake, tmp_path / "set", manifest).problems == ()


def test_tars_and_parquet_are_held_to_the_history_and_damage_is_told(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    for form in (TARS, Format(Kind.PARQUET)):
        out = tmp_path / form.kind
        manifest = staged(lake, spine, out, form)
        report = problems_of(lake, out, manifest)
        assert (report.problems, report.rows, report.compared) == ((), 900, 200)
        path = Path(StagedSet.open(str(out)).files("train")[0])
        whole = path.read_bytes()
        path.write_bytes(whole[:2000])
        assert "its SHA-256 is" in problems_of(lake, out, manifest).problems[0]
        path.write_bytes(whole)


def test_the_loader_refuses_what_can_t_be_mapped(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    staged(lake, spine, tmp_path / "set", TARS)
    with pytest.raises(ConfigurationError, match="is of the format webdataset, and loaders read"):
        Loader(tmp_path / "set", batch_size=8)


def test_what_does_not_go_together_is_refused(lake: Settings, spine: Path, tmp_path: Path) -> None:
    for form, options, said in (
        (Format(), {"left_out": ()}, "have it in files of its own with --format webdataset"),
        (Format(Kind.PARQUET), {"zstd": True}, "not compressed as a whole"),
        (Format(Kind.MDS, {"note": "txt"}), {}, "shards of mds have no payloads"),
        (
            Format(Kind.WEBDATASET, {"amount_minor": "txt"}),
            {"left_out": ("picture", "note"), "label": Label()},
            "expected bytes or texts",
        ),
        (Format(Kind.WEBDATASET, {"none": "txt"}), {}, "unknown column of the training set"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            staged(lake, spine, tmp_path / "set", form, **options)
        assert said in f"{caught.value.message} {caught.value.hint}"
    for extensions in ({"picture": "json"}, {"picture": "a", "note": "a"}, {"picture": "a/b"}):
        with pytest.raises(ConfigurationError, match="is taken or no name of a file"):
            Format(Kind.WEBDATASET, extensions)
