"""Tables and files in an object store, by settings alone: a real client, a server beside it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from botocore.config import Config

from headrace_batch.simulator import simulate
from headrace_shards import Loader
from lakes import FEW

BIN = Path(sys.executable).parent
KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_REGION": "eu-west-1"}

Run = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path_factory.mktemp("s3") / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def client(endpoint: str) -> Any:
    """Access to the server from outside, and a bucket."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name=KEYS["AWS_REGION"],
        # The first call comes while the server is still starting.
        config=Config(retries={"max_attempts": 12, "mode": "standard"}),
    )
    where = {"LocationConstraint": KEYS["AWS_REGION"]}
    client.create_bucket(Bucket="lake", CreateBucketConfiguration=where)
    return client


@pytest.fixture(scope="module")
def run(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The command, with its warehouse in the object store."""
    home = tmp_path_factory.mktemp("home")
    options = {**KEYS, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}
    settings = {
        "HEADRACE_HOME": str(home),
        "HEADRACE_WAREHOUSE_PATH": "s3://lake/warehouse",
        "HEADRACE_WAREHOUSE_STORAGE_OPTIONS": json.dumps(options),
    }

    def run_command(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "headrace"), *line.split()],
            env={**os.environ, **settings},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run_command


def reported(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def filled(run: Run, client: Any, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The number of transactions, which were ingested from the store into the store."""
    folder = tmp_path_factory.mktemp("files")
    simulated = simulate(FEW)
    spine = simulated.transactions.select(
        ["transaction_id", "card_id", "terminal_id", "event_time"]
    )
    tables = {"transactions": simulated.transactions, "labels": simulated.labels, "spine": spine}
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
        client.upload_file(str(folder / f"{name}.parquet"), "lake", f"in/{name}.parquet")
    rows = len(spine)
    for file, source in (("transactions", "transactions"), ("lab*", "transaction_labels")):
        line = f"ingest --json --file s3://lake/in/{file}.parquet --source {source}"
        (report,) = reported(run(line))["sources"]
        assert report["ingested"] == rows
        assert report["table"] == f"s3://lake/warehouse/bronze/{source}"
    return rows


def test_a_file_is_ingested_once(run: Run, filled: int) -> None:
    line = "ingest --json --file s3://lake/in/transactions.parquet --source transactions"
    (report,) = reported(run(line))["sources"]
    assert report["already_ingested"] == filled
    assert report["ingested"] == 0


def test_features_are_written_and_served(run: Run, filled: int) -> None:
    assert [report["rows"] for report in reported(run("backfill --json"))] == [filled, filled]
    # Twice: the second run replaces what the first has written.
    assert [report["rows"] for report in reported(run("backfill --json"))] == [filled, filled]
    reported(run("apply --json"))
    assert len(reported(run("materialize --json"))) == 2
    asked = "--entity card_id=card-000001 --entity terminal_id=terminal-000001 --as-of 2018-05-15"
    got = reported(run(f"features get --json --service fraud {asked}"))
    assert got["features"]["card_activity__count_30d"] > 0


@pytest.mark.usefixtures("filled")
def test_tables_are_looked_after(run: Run) -> None:
    planned = reported(run("maintain lake --dry-run --json"))
    assert "bronze.transactions" in {one["table"] for one in planned}
    assert sum(one["commits"] for one in planned) > 0
    assert reported(run("maintain lake --json")) == planned
    assert {one["commits"] for one in reported(run("maintain lake --json"))} == {0}
    sizes = {one["table"]: one for one in reported(run("maintain report --json"))["tables"]}
    assert sizes["bronze.transactions"]["stored"] > sizes["bronze.transactions"]["size"] > 0


@pytest.mark.usefixtures("filled")
def test_a_history_goes_from_url_to_url(run: Run, client: Any, tmp_path: Path) -> None:
    history = "features history --json --service fraud --spine s3://lake/in/spine.parquet"
    reported(run(f"{history} --out s3://lake/out/features.parquet"))
    reported(run(f"{history} --out {tmp_path}/features.parquet"))
    client.download_file("lake", "out/features.parquet", str(tmp_path / "downloaded.parquet"))
    here, there = (
        pq.read_table(tmp_path / f"{name}.parquet") for name in ("features", "downloaded")
    )
    assert here == there
    listed = client.list_objects_v2(Bucket="lake", Prefix="out")["Contents"]
    assert [one["Key"] for one in listed] == ["out/features.parquet"]


@pytest.mark.usefixtures("filled")
def test_a_training_set_is_staged_and_verified_in_the_store(
    run: Run, client: Any, tmp_path: Path
) -> None:
    stage = "stage --json --service fraud --spine s3://lake/in/spine.parquet"
    there = reported(run(f"{stage} --out s3://lake/sets/fraud"))
    assert reported(run(f"{stage} --out s3://lake/sets/fraud"))["was_there"]
    verified = reported(run("shards verify --json s3://lake/sets/fraud --sample 50"))
    assert (verified["problems"], verified["compared"]) == ([], 50)
    for one in client.list_objects_v2(Bucket="lake", Prefix="sets/fraud/")["Contents"]:
        place = tmp_path / "copy" / one["Key"].removeprefix("sets/fraud/")
        place.parent.mkdir(parents=True, exist_ok=True)
        client.download_file("lake", one["Key"], str(place))
    loader = Loader(tmp_path / "copy", batch_size=100, last="short")
    assert sum(len(batch["x"]) for batch in loader) == there["rows"]["train"]
    # A set that takes its place leaves the one shard of this one, and beside it its own.
    reported(run(f"{stage} --seed 1 --out s3://lake/sets/fraud"))
    listed = client.list_objects_v2(Bucket="lake", Prefix="sets/fraud/train/")["Contents"]
    assert len(listed) == 3


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ingest --file s3://lake/nothing.parquet --source transactions", "there is no file s3://"),
        ("ingest --file s3://nowhere/x.parquet --source transactions", "can't be read"),
        (
            "features history --service fraud --spine s3://lake/no.parquet --out out.parquet",
            "there is no spine 's3://lake/no.parquet'",
        ),
    ],
)
def test_what_is_not_there_is_one_line_without_the_keys(line: str, expected: str, run: Run) -> None:
    done = run(line)
    assert done.returncode not in (0, 70)
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert "hush" not in done.stderr
