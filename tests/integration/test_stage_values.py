"""What columns of a spine may hold: nulls, NaN, times of any unit, codes of texts, payloads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_batch import history_files
from headrace_batch.staging import survey
from headrace_batch.staging.columns import Precision
from headrace_batch.staging.request import StageRequest
from headrace_batch.staging.shard_formats import Format
from headrace_batch.staging.spine import Label, Unlabelled
from headrace_batch.staging.splits import SplitRule
from headrace_batch.staging.target import Target
from headrace_batch.staging.verifying import verify, verify_shards
from headrace_features.project import load_project
from headrace_schemas.errors import ConfigurationError, GateError
from headrace_schemas.settings import Settings
from headrace_schemas.shard_kinds import Kind
from headrace_shards import Loader
from headrace_shards.manifest import FILE
from headrace_shards.staged_set import StagedSet
from staged_sets import manifest_at, request_for, rows_of, staged


def with_columns(spine: Path, folder: Path, **columns: Any) -> Path:
    """The first rows of a spine with other columns, in place of those of their names."""
    table = pq.read_table(spine).slice(0, 300)
    for name, values in columns.items():
        found = table.schema.get_field_index(name)
        if found >= 0:
            table = table.remove_column(found)
        table = table.append_column(name, values)
    place = folder / "values.parquet"
    pq.write_table(table, place)
    return place


def whole_set(place: Path, out: Path, **options: Any) -> StageRequest:
    return request_for(place, out, **{"split": SplitRule(), **options})


def labels(**by_row: bool | None) -> pa.Array:
    found: list[bool | None] = [False] * 300
    for row, value in by_row.items():
        found[int(row.removeprefix("row_"))] = value
    return pa.array(found, pa.bool_())


def problems(lake: Settings, out: Path) -> tuple[str, ...]:
    return verify(lake, load_project(lake), Target(str(out)), manifest_at(out), 300).problems


def test_rows_without_a_label_are_refused_unless_it_is_said_what_becomes_of_them(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    place = with_columns(spine, tmp_path, is_fraud=labels(row_4=None, row_7=True, row_9=None))
    with pytest.raises(
        GateError, match=r"^2 of 300 rows .* have no label, such as row 4: is_fraud is null"
    ) as caught:
        staged(lake, whole_set(place, tmp_path / "refused"))
    assert "--unlabelled leave-out" in str(caught.value.hint)

    left_out = Label(("is_fraud",), unlabelled=Unlabelled.LEAVE_OUT)
    report = staged(lake, whole_set(place, tmp_path / "left_out", label=left_out))
    assert (report.rows, report.rows_left_out) == ({"train": 298}, {"unlabelled": 2})
    found = rows_of(tmp_path / "left_out")["train"]
    assert sorted(found) == [row for row in range(300) if row not in {4, 9}]
    assert found[7]["is_fraud"] == 1
    manifest = manifest_at(tmp_path / "left_out")
    assert manifest.made_of["rows_left_out"] == {"unlabelled": 2}
    target = Target(str(tmp_path / "left_out"))
    # A sample is one of the rows that there are.
    assert verify(lake, load_project(lake), target, manifest, 298).compared == 298
    assert problems(lake, tmp_path / "left_out") == ()
    # It is held to the rows of the spine that have a label, whatever a manifest has of shards.
    fewer = replace(manifest, splits={"train": ()})
    told = verify_shards(lake, load_project(lake), target, fewer, 298).problems
    assert told == ("298 of 298 rows are missing",)

    kept = Label(("is_fraud",), unlabelled=Unlabelled.KEEP)
    staged(lake, whole_set(place, tmp_path / "kept", label=kept))
    loader = Loader(tmp_path / "kept", batch_size=300)
    batch = next(iter(loader))
    is_null = loader.layout.nulls(batch["mask"], "is_fraud")
    assert sorted(batch["ids"][is_null, 0].tolist()) == [4, 9]


def test_a_label_is_none_where_nothing_says_since_when_it_is_known(
    either: str, lake: Settings, spine: Path, tmp_path: Path
) -> None:
    known = pq.read_table(spine, columns=["reported_at"])[0].slice(0, 300).to_pylist()
    known[4] = known[9] = known[11] = None
    place = with_columns(
        spine,
        tmp_path,
        reported_at=pa.array(known, pa.int64()),
        is_fraud=labels(row_4=True, row_9=False, row_11=None, row_20=None),
    )
    with pytest.raises(
        GateError,
        match=r"^4 of 300 rows .* no label, such as row 4: reported_at is null, so that nothing",
    ) as caught:
        staged(lake, whole_set(place, tmp_path / "refused"), either)
    assert "--unlabelled leave-out" in str(caught.value.hint)

    left_out = Label(("is_fraud",), "reported_at", Unlabelled.LEAVE_OUT)
    report = staged(lake, whole_set(place, tmp_path / "left_out", label=left_out), either)
    assert (report.rows, report.rows_left_out) == ({"train": 296}, {"unlabelled": 4})
    found = rows_of(tmp_path / "left_out")["train"]
    assert sorted(found) == [row for row in range(300) if row not in {4, 9, 11, 20}]
    assert problems(lake, tmp_path / "left_out") == ()

    kept = Label(("is_fraud",), "reported_at", Unlabelled.KEEP)
    report = staged(lake, whole_set(place, tmp_path / "kept", label=kept), either)
    assert (report.rows, report.rows_left_out) == ({"train": 300}, {"unlabelled": 0})
    found = rows_of(tmp_path / "kept")["train"]
    assert [row for row in range(300) if found[row]["is_fraud"] is None] == [4, 9, 11, 20]
    assert problems(lake, tmp_path / "kept") == ()


def test_a_spine_none_of_whose_labels_is_known_since_some_time_is_refused(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    place = with_columns(spine, tmp_path, reported_at=pa.nulls(300, pa.int64()))
    label = Label(("is_fraud",), "reported_at", Unlabelled.LEAVE_OUT)
    with pytest.raises(
        ConfigurationError, match=r"none of 300 rows .* such as row 0: reported_at is null"
    ):
        staged(lake, whole_set(place, tmp_path / "set", label=label))


def test_a_label_that_is_nan_is_none(lake: Settings, spine: Path, tmp_path: Path) -> None:
    score = np.ones(300)
    score[[3, 5]] = np.nan, np.inf
    place = with_columns(spine, tmp_path, score=pa.array(score))
    label = Label(("score",), unlabelled=Unlabelled.LEAVE_OUT)
    report = staged(lake, whole_set(place, tmp_path / "set", label=label))
    assert report.rows_left_out == {"unlabelled": 2}
    none = with_columns(spine, tmp_path, score=pa.nulls(300, pa.float64()))
    with pytest.raises(ConfigurationError, match="none of 300 rows of the spine has a label"):
        staged(lake, whole_set(none, tmp_path / "none", label=label))


def test_statistics_leave_out_what_is_not_finite_and_count_it(
    either: str, lake: Settings, spine: Path, tmp_path: Path
) -> None:
    score = np.arange(300, dtype=np.float64)
    score[[3, 5, 8]] = np.nan, np.inf, -np.inf
    place = with_columns(spine, tmp_path, score=pa.array(score))
    staged(lake, whole_set(place, tmp_path / "set"), either)
    told = manifest_at(tmp_path / "set").statistics["train"]["score"]
    kept = score[np.isfinite(score)]
    assert (told["count"], told["nulls"], told["not_finite"]) == (297, 0, 3)
    assert (told["min"], told["max"]) == (0, 299)
    assert told["mean"] == pytest.approx(kept.mean())
    assert told["std"] == pytest.approx(kept.std())
    found = rows_of(tmp_path / "set")["train"]
    assert np.array_equal([found[row]["score"] for row in range(300)], score, equal_nan=True)
    assert problems(lake, tmp_path / "set") == ()


def test_statistics_of_the_largest_numbers_are_finite(
    either: str, lake: Settings, spine: Path, tmp_path: Path
) -> None:
    most = np.finfo(np.float64).max
    place = with_columns(
        spine,
        tmp_path,
        large=pa.array(np.full(300, 1e200)),
        apart=pa.array(np.tile([-most, most], 150)),
    )
    request = whole_set(place, tmp_path / "set", precision=Precision.FLOAT64)
    staged(lake, request, either)
    told = manifest_at(tmp_path / "set").statistics["train"]
    assert told["large"]["mean"] == pytest.approx(1e200)
    assert told["apart"]["mean"] == pytest.approx(0, abs=float(most) / 1e15)
    assert told["apart"]["std"] == pytest.approx(most)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads((tmp_path / "set" / FILE).read_bytes(), parse_constant=refuse)


def test_samples_of_tars_have_no_nan_which_json_does_not_know(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    score = np.ones(300)
    score[[3, 5]] = np.nan, np.inf
    place = with_columns(spine, tmp_path, score=pa.array(score))
    request = whole_set(place, tmp_path / "set", format=Format(Kind.WEBDATASET))
    with pytest.raises(ConfigurationError, match="2 values of the column 'score' are NaN or inf"):
        staged(lake, request)


def test_times_in_nanoseconds_are_kept_to_the_microsecond(
    either: str, lake: Settings, spine: Path, tmp_path: Path
) -> None:
    ns = np.arange(300) * 1_000_000_007 + 1_500_000_000_123_456_789
    times = pq.read_table(spine)["event_time"].to_numpy()[:300].astype("datetime64[ms]")
    place = with_columns(
        spine,
        tmp_path,
        seen_at=pa.array(ns, pa.timestamp("ns", "Asia/Tokyo")),
        event_time=pa.array(times.astype("datetime64[ns]")),
    )
    out = tmp_path / "set"
    staged(lake, whole_set(place, out, label=Label(("is_fraud",))), either)
    found = rows_of(out)["train"]
    assert [found[row]["seen_at"] for row in range(300)] == (ns // 1_000_000).tolist()
    assert problems(lake, out) == ()
    parquet = whole_set(
        place, out, label=Label(("is_fraud",)), format=Format(Kind.PARQUET), left_out=()
    )
    staged(lake, parquet, either)
    rows = pq.read_table(StagedSet.open(str(out)).files("train")).sort_by("row")
    micros = rows["seen_at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    assert micros.to_pylist() == (ns // 1_000).tolist()


def test_half_floats_are_the_same_numbers(
    either: str, lake: Settings, spine: Path, tmp_path: Path
) -> None:
    halves = (np.arange(300) / 8).astype(np.float16)
    is_null = np.arange(300) % 9 == 0
    place = with_columns(spine, tmp_path, half=pa.array(halves, mask=is_null))
    out = tmp_path / "set"
    staged(lake, whole_set(place, out), either)
    found = rows_of(out)["train"]
    expected = [None if is_null[row] else row / 8 for row in range(300)]
    assert [found[row]["half"] for row in range(300)] == expected
    assert problems(lake, out) == ()


def test_texts_and_payloads_that_are_coded_are_those_that_the_codes_stand_for(
    either: str, lake: Settings, spine: Path, tmp_path: Path
) -> None:
    notes = [None if row % 7 == 0 else f"note {row % 5}" for row in range(300)]
    place = with_columns(
        spine,
        tmp_path,
        note=pa.array(notes).dictionary_encode(),
        kind=pa.array(notes, pa.large_string()).dictionary_encode(),
        level=pa.array([row % 3 for row in range(300)]).dictionary_encode(),
    )
    out = tmp_path / "set"
    form = Format(Kind.WEBDATASET, {"note": "txt"})
    staged(lake, whole_set(place, out, format=form), either)
    assert problems(lake, out) == ()
    staged(lake, whole_set(place, out), either)
    found = rows_of(out)["train"]
    assert [found[row]["kind"] for row in range(300)] == notes
    assert [found[row]["level"] for row in range(300)] == [row % 3 for row in range(300)]
    assert problems(lake, out) == ()


def test_texts_that_are_too_many_for_codes_are_kept_as_they_are_but_for_the_loader(
    lake: Settings, spine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "MOST_TEXTS", 100)
    place = with_columns(
        spine,
        tmp_path,
        trace=pa.array([None if row == 5 else f"trace {row}" for row in range(300)]),
        kind=pa.array(["a", "b", None] * 100),
    )
    expected = pq.read_table(place)
    left_out = ("transaction_id",)
    with pytest.raises(ConfigurationError, match="'trace' has more than 100 texts") as caught:
        staged(lake, whole_set(place, tmp_path / "mds", left_out=left_out))
    assert "--leave-out trace" in str(caught.value.hint)
    assert "--format parquet" in str(caught.value.hint)
    for kind in (Kind.PARQUET, Kind.WEBDATASET):
        out = tmp_path / kind
        staged(lake, whole_set(place, out, format=Format(kind), left_out=left_out))
        dictionaries = manifest_at(out).dictionaries
        assert dictionaries["kind"] == ("a", "b")
        assert "trace" not in dictionaries
        assert problems(lake, out) == ()
    files = StagedSet.open(str(tmp_path / "parquet")).files("train")
    found = pq.read_table(files).sort_by("row")
    assert found["trace"].to_pylist() == expected["trace"].to_pylist()


def test_large_rows_are_read_in_pieces_of_some_bytes(
    lake: Settings, spine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 1 << 18
    monkeypatch.setattr(history_files, "_PIECE_BYTES", most)
    pictures = [np.random.default_rng(row).bytes(10_000) for row in range(300)]
    place = with_columns(spine, tmp_path, picture=pa.array(pictures))
    rows = history_files.spine_file(str(place), {})
    assert max(table.nbytes for table in rows.read(rows.schema.names)) < 2 * most
    assert len(list(rows.read(["event_time"]))) == 1
    out = tmp_path / "set"
    staged(lake, whole_set(place, out, format=Format(Kind.WEBDATASET, {"picture": "bin"})))
    assert problems(lake, out) == ()


def test_a_set_without_rows_to_train_with_is_published_with_a_warning(
    lake: Settings, spine: Path, tmp_path: Path
) -> None:
    place, out = with_columns(spine, tmp_path), tmp_path / "set"
    line = ["stage", "--service", "fraud", "--spine", str(place), "--out", str(out), "--json"]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("headrace")), *line, "--test-from", "2018-01-01"],
        cwd=lake.home,
        env={**os.environ, "HEADRACE_HOME": str(lake.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == {"test": 300}
    assert "no row is in train: there are 300 in test; expected some" in done.stderr
