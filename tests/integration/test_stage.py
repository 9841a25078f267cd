"""Training sets of a small lake: what is staged is what history says, on either engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_batch.local_engine import LocalEngine
from headrace_batch.staging import shard_writing
from headrace_batch.staging.columns import Precision
from headrace_batch.staging.publication import kept_set
from headrace_batch.staging.request import StageRequest
from headrace_batch.staging.run import stage
from headrace_batch.staging.shard_formats import Format
from headrace_batch.staging.spine import Label, Unlabelled
from headrace_batch.staging.splits import SplitRule
from headrace_batch.staging.target import Target
from headrace_batch.staging.verifying import verify, verify_shards
from headrace_batch.warehouse import Warehouse
from headrace_features.fraud.definitions import card_activity, fraud, fraud_scoring
from headrace_features.leases import LeaseHeldError
from headrace_features.project import load_project
from headrace_schemas.errors import (
    BadRecordError,
    ConfigurationError,
    GateError,
    RetryableError,
)
from headrace_schemas.settings import Settings
from headrace_schemas.shard_kinds import Kind
from headrace_shards import Loader
from lakes import settings_in, write_events
from programs import started
from staged_sets import LABEL, manifest_at, request_for, rows_of, staged

T0 = 1_524_000_000_000

# Is about to publish at a place, until it is killed.
PUBLISHING = """
import signal, sys
from pathlib import Path
from headrace_batch.staging.run import publishing
from headrace_batch.warehouse import Warehouse
from headrace_schemas.settings import load

home, out = sys.argv[1:]
settings = load(Path(home), {"HEADRACE_HOME": home})
with publishing(Warehouse.of(settings), out):
    print("publishing", flush=True)
    signal.pause()
"""


def with_column(spine: Path, name: str, values: pa.Array) -> pa.Table:
    """As many of the first rows of a spine, with other values of a column."""
    table = pq.read_table(spine).slice(0, len(values))
    return table.set_column(table.schema.get_field_index(name), name, values)


@pytest.fixture
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of some hundred rows."""
    monkeypatch.setattr(shard_writing, "SHARD_BYTES", 1 << 16)


@pytest.mark.usefixtures("_small_shards")
@pytest.mark.parametrize("precision", list(Precision))
def test_every_row_is_that_of_the_spine_with_its_features(
    precision: Precision, lake: Settings, spine: Path, tmp_path: Path
) -> None:
    request = request_for(
        spine, tmp_path / "set", selections=fraud_scoring.asked, precision=precision
    )
    report = staged(lake, request)
    table = pq.read_table(spine)
    expected = LocalEngine(lake).history(fraud_scoring.asked, table).to_pylist()
    found = rows_of(tmp_path / "set")
    assert {split: len(rows) for split, rows in found.items()} == report.rows
    assert report.shards > 8
    whole = {number: row for rows in found.values() for number, row in rows.items()}
    assert sorted(whole) == list(range(len(expected)))
    x = set(report.columns["x"]) | set(report.columns["y"])
    for number, row in whole.items():
        for name, value in expected[number].items():
            exact = (
                float(np.dtype(precision.value).type(value))
                if name in x and value is not None
                else value
            )
            assert row[name] == exact, (number, name)


def test_rows_are_divided_by_time_and_by_entity(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    request = request_for(spine, tmp_path / "set")
    staged(lake, request)
    found = rows_of(tmp_path / "set")
    rule = request.split
    assert rule.valid_from is not None
    assert rule.test_from is not None
    assert max(one["event_time"] for one in found["train"].values()) < rule.valid_from
    assert min(one["event_time"] for one in found["valid"].values()) >= rule.valid_from
    assert max(one["event_time"] for one in found["valid"].values()) < rule.test_from
    assert min(one["event_time"] for one in found["test"].values()) >= rule.test_from
    held = {one["card_id"] for one in found["holdout"].values()}
    others = {one["card_id"] for name in ("train", "valid", "test") for one in found[name].values()}
    assert held
    assert not held & others


@pytest.mark.usefixtures("_small_shards")
def test_spark_writes_the_same_set(
    lake: Settings, spine: Path, tmp_path: Path, spark: object
) -> None:
    del spark
    here = staged(lake, request_for(spine, tmp_path / "here", zstd=True))
    there = staged(lake, request_for(spine, tmp_path / "there"), "spark")
    assert here.rows == there.rows
    one, other = (manifest_at(tmp_path / name) for name in ("here", "there"))
    assert one.digest == other.digest
    assert one.statistics == other.statistics
    assert here.size < there.size


def test_the_same_request_does_nothing_and_another_one_takes_its_place(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    first = staged(lake, request_for(spine, tmp_path / "set"))
    again = staged(lake, request_for(spine, tmp_path / "set"))
    assert (first.was_there, again.was_there, again.set_id) == (False, True, first.set_id)
    assert list(first.rows) == list(again.rows) == ["train", "valid", "test", "holdout"]
    former = Loader(tmp_path / "set", batch_size=64)
    reading = iter(former)
    next(reading)
    second = staged(lake, request_for(spine, tmp_path / "set", label=Label()))
    assert second.set_id != first.set_id
    assert "y" not in second.columns
    # Whoever reads the former set still has its files.
    assert sum(len(batch["ids"]) for batch in reading) == (len(former) - 1) * 64
    third = staged(lake, request_for(spine, tmp_path / "set", split=SplitRule(seed=1)))
    assert list(third.rows) == ["train"]
    manifest = manifest_at(tmp_path / "set")
    assert not (tmp_path / "set/valid/index.json").exists()
    sets = [manifest, *(kept_set(Target(str(tmp_path / "set")), one) for one in manifest.kept)]
    assert [one.set_id for one in sets if one] == [third.set_id, second.set_id, first.set_id]
    named = {shard.raw.name for one in sets if one for shard in one.split("train")}
    assert {path.name for path in (tmp_path / "set/train").iterdir()} == {*named, "index.json"}


def test_the_same_request_mends_what_is_damaged(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    first = staged(lake, request_for(spine, out))
    expected, digest = rows_of(out), manifest_at(out).digest
    damaged, other = (
        out / split / manifest_at(out).split(split)[0].raw.name for split in ("valid", "train")
    )
    whole = other.stat().st_ino
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    again = staged(lake, request_for(spine, out))
    assert (again.was_there, again.set_id) == (False, first.set_id)
    assert (manifest_at(out).digest, manifest_at(out).kept) == (digest, ())
    assert rows_of(out) == expected
    assert other.stat().st_ino == whole
    # Where its manifest can't be read, that is to be deleted first.
    (out / "manifest.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="is no manifest"):
        staged(lake, request_for(spine, out))
    (out / "manifest.json").unlink()
    staged(lake, request_for(spine, out))
    assert rows_of(out) == expected


def test_as_many_former_sets_stay_as_the_settings_say(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    few = settings_in(lake.home, HEADRACE_TRAINING_KEPT="1")
    for seed in range(3):
        staged(few, request_for(spine, tmp_path / "set", split=SplitRule(seed=seed)))
    assert len(list((tmp_path / "set/manifests").iterdir())) == 1
    assert len(list((tmp_path / "set/train").glob("*.mds"))) == 2


def test_sets_of_other_names_are_not_staged_at_one_place_at_once(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with started(PUBLISHING, lake.home, tmp_path / "set", stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "publishing\n"
        said = rf"staged\.at_set_\w+ is being written by process {child.pid} "
        with pytest.raises(LeaseHeldError, match=said):
            staged(lake, request_for(spine, tmp_path / "link/set", name="another"))
    staged(lake, request_for(spine, tmp_path / "link/set", name="another"))


def test_features_of_a_later_time_than_the_label_are_refused(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    table = pq.read_table(spine)
    reported = table["reported_at"].to_numpy().copy()
    reported[[5, 9]] = table["event_time"].to_numpy()[[5, 9]] - 1
    place = table.schema.get_field_index("reported_at")
    leaking = table.set_column(place, "reported_at", pa.array(reported))
    pq.write_table(leaking, tmp_path / "leaking.parquet")
    with pytest.raises(
        GateError, match=r"^2 of [0-9,]+ rows .* such as row 5: event_time is after"
    ):
        staged(lake, request_for(spine, tmp_path / "set", spine=str(tmp_path / "leaking.parquet")))
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("name", ["event_time", "card_id"])
def test_a_spine_that_lacks_what_features_need_is_told_by_its_own_columns(
    name: str, lake: Settings, spine: Path, tmp_path: Path
) -> None:
    place = tmp_path / "lacking.parquet"
    table = pq.read_table(spine, columns=["card_id", "event_time", "is_fraud"]).drop([name])
    pq.write_table(table, place)
    others = ", ".join(table.column_names)
    selections = [card_activity.select("count_1d")]
    with pytest.raises(
        ConfigurationError,
        match=rf"^the spine has no column '{name}', which feature view card_activity needs;"
        rf" it has {others} \(a row is an entity's key and an event_time\)$",
    ):
        staged(lake, StageRequest("fraud", selections, str(place), str(tmp_path / "set"), LABEL))


@pytest.mark.parametrize("label", [Label(), LABEL])
@pytest.mark.parametrize(
    ("times", "said"),
    [
        (pa.array(["2018-04-01"] * 3), "^column 'event_time' of the spine is string, expected int"),
        (pa.array([17_000] * 3, pa.date32()), "^column 'event_time' of the spine is date32"),
        (pa.array([T0, None, T0]), r"^row 1 of the spine has no event_time"),
        (pa.array([T0, T0, T0 * 1_000_000]), "^row 2 .* event_time .* looks like nanoseconds"),
    ],
)
def test_what_is_no_time_of_a_row_is_told_with_and_without_a_time_of_its_label(  # noqa: PLR0913, PLR0917 - fixtures and cases
    label: Label, times: pa.Array, said: str, lake: Settings, spine: Path, tmp_path: Path
) -> None:
    place = tmp_path / "times.parquet"
    pq.write_table(with_column(spine, "event_time", times), place)
    with pytest.raises((ConfigurationError, BadRecordError), match=said):
        staged(lake, StageRequest("fraud", fraud.asked, str(place), str(tmp_path / "set"), label))


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (pa.array(["2018-04-01"] * 3), "^column 'reported_at' of the spine is string, expected in"),
        # As microseconds they are later than any event: a leak would pass.
        (pa.array([None, (T0 - 1) * 1_000, T0]), "^row 1 .* reported_at .* looks like microsec"),
        (pa.array([T0, T0, T0 // 1_000]), "^row 2 .* reported_at .* looks like seconds"),
        (pa.array([T0, 2**64 - 1, T0], pa.uint64()), "^row 1 of the spine: reported_at "),
    ],
)
def test_what_is_no_time_of_a_label_is_told(
    times: pa.Array, said: str, lake: Settings, spine: Path, tmp_path: Path
) -> None:
    place = tmp_path / "times.parquet"
    pq.write_table(with_column(spine, "reported_at", times), place)
    label = replace(LABEL, unlabelled=Unlabelled.KEEP)
    request = StageRequest("fraud", fraud.asked, str(place), str(tmp_path / "set"), label)
    with pytest.raises((ConfigurationError, BadRecordError), match=said):
        staged(lake, request)


def test_a_table_is_a_spine_and_is_read_as_it_was(tmp_path: Path, lake: Settings) -> None:
    request = StageRequest("fraud", fraud.asked, "bronze.transactions", str(tmp_path / "set"))
    report = staged(lake, request)
    assert sum(report.rows.values()) == len(Warehouse.of(lake).read("bronze.transactions"))
    manifest = manifest_at(tmp_path / "set")
    assert manifest.made_of["spine"]["table"] == "bronze.transactions"
    (events,) = manifest.made_of["spine_tables"]
    assert events["version"] == manifest.made_of["spine"]["version"]


def test_a_sample_is_computed_anew_from_the_tables_as_they_were(
    tmp_path: Path, spine: Path, own_lake: Settings
) -> None:
    settings, out = own_lake, tmp_path / "set"
    staged(settings, request_for(spine, out))
    # A late event changes features of rows that are staged.
    events = Warehouse.of(settings).read("bronze.transactions").drop_columns(["event_date"])
    late = events.slice(0, 50)
    ids = pa.array([f"late-{number}" for number in range(50)])
    place = late.schema.get_field_index("transaction_id")
    write_events(settings, "bronze.transactions", late.set_column(place, "transaction_id", ids))
    manifest = manifest_at(out)
    report = verify(settings, load_project(settings), Target(str(out)), manifest, 500)
    assert (report.problems, report.compared) == ((), 500)
    again = staged(settings, request_for(spine, out))
    assert not again.was_there


def test_whatever_is_wrong_with_a_set_is_told(lake: Settings, spine: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    staged(lake, request_for(spine, out))
    manifest = manifest_at(out)

    def problems() -> str:
        return "; ".join(verify(lake, load_project(lake), Target(str(out)), manifest, 10).problems)

    assert not problems()
    # A manifest that lacks a split is whole by what it says itself.
    fewer = replace(manifest, splits={"train": manifest.split("train")})
    told = verify_shards(lake, load_project(lake), Target(str(out)), fewer, 10).problems
    lacking = sum(manifest.rows(name) for name in manifest.splits if name != "train")
    assert told == (f"{lacking:,} of {pq.read_metadata(spine).num_rows:,} rows are missing",)
    path = out / "train" / manifest.split("train")[0].raw.name
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    assert f"the shard train/{path.name} is damaged: its SHA-256 is" in problems()
    path.unlink()
    assert f"the shard train/{path.name} is damaged: there is no such file" in problems()
    assert "rows are missing" in problems()
    # The first shards of all splits have one name.
    other = out / "valid" / path.name
    path.write_bytes(other.read_bytes())
    other.write_bytes(whole)
    assert all(
        f"the shard {one}/{path.name} is damaged" in problems() for one in ("train", "valid")
    )
    other.write_bytes(path.read_bytes())
    path.write_bytes(whole)
    index = out / "train/index.json"
    told = json.loads(index.read_bytes())
    told["shards"][0]["samples"] += 1
    index.write_text(json.dumps(told))
    assert problems() == "train/index.json is not that of the manifest"


def test_what_does_not_fit_is_refused(lake: Settings, spine: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("mine")
    for options, said in (
        ({"out": str(tmp_path / "other")}, "has other files, such as file"),
        ({"spine": str(tmp_path / "none.parquet")}, "there is no spine .* by its path from here"),
        ({"spine": "nosuch://lake/x.parquet"}, "the spine 'nosuch://.* by a URL such as s3://"),
        ({"out": "nosuch://lake/set"}, "nosuch://lake/set can't be reached: .* such as s3://"),
        ({"spine": "bronze.none"}, "there is no table bronze.none"),
        (
            {"label": Label(("fraudulent",))},
            r"unknown column of the spine 'fraudulent'.*\(--label ",
        ),
        (
            {"label": Label(("is_fraud",), "reported")},
            r"unknown column of the spine 'reported', did you mean 'reported_at'.*\(--label-time ",
        ),
        (
            {"split": SplitRule(holdout=0.2, entity="nobody")},
            r"unknown column of the spine 'nobody'.*\(.*--entity",
        ),
        (
            {"left_out": ("nothing",)},
            r"unknown column of the training set 'nothing'.*\(--leave-out ",
        ),
    ):
        with pytest.raises(ConfigurationError) as caught:
            staged(lake, request_for(spine, tmp_path / "set", **options))
        assert re.search(said, str(caught.value)), str(caught.value)
    empty = tmp_path / "empty.parquet"
    pq.write_table(pq.read_table(spine).slice(0, 0), empty)
    with pytest.raises(ConfigurationError, match="the spine has no rows"):
        staged(lake, request_for(spine, tmp_path / "set", spine=str(empty)))


def test_a_place_that_takes_no_files_is_told_before_any_feature_is_computed(
    lake: Settings, spine: Path
) -> None:
    begun: list[str] = []
    request = request_for(spine, Path("/proc/sets"))
    with pytest.raises(RetryableError, match=r"/proc/sets/.* can't be written"):
        stage(lake, load_project(lake), request, "local", begun.append)
    assert begun == []


def test_files_of_others_are_neither_overwritten_nor_deleted(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    (out / "train").mkdir(parents=True)
    (out / "train/cat.jpg").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"has other files, such as train/cat\.jpg"):
        staged(lake, request_for(spine, out))
    (out / "train/cat.jpg").unlink()
    # What a first publication leaves that was killed.
    (out / "manifest.json.new").write_text("{")
    (out / "train/shard.00000-abc.mds.new").write_text("half")
    staged(lake, request_for(spine, out))
    assert not (out / "train/shard.00000-abc.mds.new").exists()
    (out / "train/notes.txt").write_text("mine")
    staged(lake, request_for(spine, out, split=SplitRule(seed=8)))
    assert (out / "train/notes.txt").read_text() == "mine"


def test_another_format_and_fewer_splits_take_the_place_of_a_set(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    staged(lake, request_for(spine, out))
    staged(lake, request_for(spine, out, format=Format(Kind.PARQUET)))
    assert not list(out.rglob("index.json"))
    report = staged(lake, request_for(spine, out, format=Format(Kind.PARQUET), split=SplitRule()))
    assert list(report.rows) == ["train"]
    staged(lake, request_for(spine, out, split=SplitRule()))
    assert [str(path.relative_to(out)) for path in out.rglob("index.json")] == ["train/index.json"]


def test_the_command_stages_shows_and_verifies(lake: Settings, spine: Path, tmp_path: Path) -> None:
    def headrace(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("headrace")), *arguments],
            cwd=lake.home,
            env={**os.environ, "HEADRACE_HOME": str(lake.home)},
            capture_output=True,
            text=True,
            check=False,
        )

    line = ["stage", "--service", "fraud", "--spine", str(spine), "--out", str(tmp_path / "set")]
    done = headrace(*line, "--label", "is_fraud", "--valid-from", "2018-05-01", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["rows"]) == {"train", "valid"}
    shown = json.loads(headrace("shards", "show", str(tmp_path / "set"), "--json").stdout)
    assert shown["made_of"]["views"]["card_activity"]["version"] == 1
    good = headrace("shards", "verify", str(tmp_path / "set"), "--sample", "50")
    assert good.returncode == 0, good.stderr
    assert "50 were computed anew" in " ".join(good.stdout.split())
    again = headrace(*line, "--seed", "5")
    assert again.returncode == 0, again.stderr
    former = shown["digest"][:12]
    listed = headrace("shards", "show", str(tmp_path / "set")).stdout
    assert f"former sets that are kept: {former}" in listed
    there = ("shards", "verify", str(tmp_path / "set"), "--digest", former, "--json")
    assert json.loads(headrace(*there).stdout)["rows"] == sum(told["rows"].values())
    for path in (tmp_path / "set/train").glob("*.mds"):
        path.unlink()
    bad = headrace("shards", "verify", str(tmp_path / "set"))
    assert (bad.returncode, "there is no such file" in bad.stderr) == (1, True)
    nobody = headrace(*line, "--entity", "card_id")
    assert (nobody.returncode, "--entity card_id says whose are held out" in nobody.stderr) == (
        78,
        True,
    )
    none = headrace("shards", "verify", str(tmp_path / "none"))
    assert (none.returncode, "there is no training set at" in none.stderr) == (78, True)
