"""An ingest that is killed anywhere and run again leaves the tables of one clean run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Any

import pytest

from headrace_batch.ingest.report import IngestReport
from headrace_batch.ingest.run import ingest
from headrace_batch.ingest.spark_run import ingest_on_spark
from headrace_batch.warehouse import Warehouse
from headrace_schemas.settings import Settings
from ingestion import fraud_project, settings_in, stored, write_handbook
from programs import started

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TABLES = (
    "bronze.transactions",
    "bronze.transaction_labels",
    "quarantine.transactions",
    "quarantine.transaction_labels",
)
KILLED = -signal.SIGKILL
Clean = tuple[Path, IngestReport, dict[str, list[tuple[Any, ...]]]]

# Ingests in chunks of a given size, and dies at the n-th place where a table is made or changed.
CHILD = """
import os, signal, sys
from pathlib import Path
from headrace_batch.ingest import appending, parquet_reader, run
from headrace_batch.warehouse import Warehouse
from headrace_features.project import load_project
from headrace_schemas.settings import load

home, file, chunk, fatal, moment = sys.argv[1:]
run.CHUNK_ROWS = parquet_reader._BATCH_ROWS = int(chunk)
places = 0

def dying(change):
    def changed(*arguments, **options):
        global places
        places += 1
        if places == int(fatal) and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = change(*arguments, **options)
        if places == int(fatal) and moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return changed

def create(warehouse, table, schema, *, partition_by=()):
    if warehouse.exists(table):
        return warehouse.open(table)
    return made(warehouse, table, schema, partition_by=partition_by)

made = dying(Warehouse.create)
Warehouse.create = create
appending.write_deltalake = dying(appending.write_deltalake)
settings = load(Path(home), {"HEADRACE_HOME": home + "/.headrace"})
project = load_project(settings)
print("started", flush=True)
run.ingest(settings, project, file, file_format="handbook")
"""

ON_SPARK = """
import os, sys
from pathlib import Path
from headrace_batch.ingest.spark_run import ingest_on_spark
from headrace_features.project import load_project
from headrace_schemas.settings import load

home, file = sys.argv[1:]
settings = load(Path(home), {**os.environ, "HEADRACE_HOME": home + "/.headrace"})
ingest_on_spark(settings, load_project(settings), file, file_format="handbook")
"""


def run_here(settings: Settings, file: Path) -> IngestReport:
    return ingest(settings, fraud_project(settings), str(file), file_format="handbook")


def contents(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    return {table: stored(settings, table) for table in TABLES}


def command(home: Path, file: Path, chunk: int, fatal: int, moment: str) -> list[str]:
    home.mkdir(exist_ok=True)
    return [sys.executable, "-c", CHILD, str(home), str(file), str(chunk), str(fatal), moment]


def require_counts_to_add_up(report: IngestReport, clean: IngestReport) -> None:
    """What this run did and what was there before are together what a clean run does."""
    for again, once in zip(report.sources, clean.sources, strict=True):
        assert again.rows == once.rows
        done_again = again.ingested + again.duplicates + again.rejected_rows
        assert done_again + again.already_ingested == again.rows
        rejected = {
            reason: again.rejected.get(reason, 0) + again.already_rejected.get(reason, 0)
            for reason in once.rejected
        }
        assert rejected == once.rejected


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_place_in_turn_the_tables_are_those_of_a_clean_run(
    tmp_path: Path, moment: str
) -> None:
    file = write_handbook(tmp_path / "rows.parquet", 120)
    clean = settings_in(tmp_path / "clean")
    clean_report = run_here(clean, file)
    # Dying before the second place, a run gets as far as dying after the first.
    fatal = {"before": 2, "after": 1}[moment]
    # Four tables are made, and each takes two chunks.
    places = 4 + 4 * 2
    deaths = 0
    home = tmp_path / "killed"
    run = command(home, file, 60, fatal, moment)
    while subprocess.run(run, stdout=subprocess.DEVNULL, check=False).returncode == KILLED:
        deaths += 1
        assert deaths <= places, "no progress from one run to the next"
        killed = contents(settings_in(home))
        for table, rows in contents(clean).items():
            assert set(killed[table]) <= set(rows)
    assert deaths == {"before": places - 1, "after": places}[moment]
    assert contents(settings_in(home)) == contents(clean)
    require_counts_to_add_up(run_here(settings_in(home), file), clean_report)
    assert contents(settings_in(home)) == contents(clean)


def test_killed_at_random_times_the_tables_are_those_of_a_clean_run(tmp_path: Path) -> None:
    file = write_handbook(tmp_path / "rows.parquet", 6_000)
    clean = settings_in(tmp_path / "clean")
    clean_report = run_here(clean, file)
    chance = random.Random(11)
    home = tmp_path / "killed"
    killed = 0
    whole_s = seconds_of(command(tmp_path / "timed", file, 200, 0, "never"))
    for _ in range(8):
        run = command(home, file, 200, 0, "never")
        with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            try:
                process.wait(timeout=chance.uniform(0.0, whole_s))
            except subprocess.TimeoutExpired:
                process.kill()
            killed += process.wait() == KILLED
    assert killed > 0
    report = run_here(settings_in(home), file)
    assert contents(settings_in(home)) == contents(clean)
    require_counts_to_add_up(report, clean_report)
    assert all(source.already_ingested > 0 for source in report.sources)


def seconds_of(run: Sequence[str]) -> float:
    """How long an ingest takes once it has started, undisturbed."""
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        begun = time.monotonic()
        assert process.wait() == 0
    return time.monotonic() - begun


def await_a_file(child: subprocess.Popen[str], settings: Settings, table: str) -> None:
    """Return when one more data file of a table is being written."""
    folder = Path(Warehouse.of(settings).uri(table))
    before = len(list(folder.rglob("*.parquet")))
    while len(list(folder.rglob("*.parquet"))) == before:
        # Both cores are needed there: no busy waiting here.
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=0.002)
            pytest.fail("the ingest has ended before it wrote a file")


def torn_files(settings: Settings, table: str) -> set[str]:
    """Data files that are there, and in no commit."""
    opened = Warehouse.of(settings).open(table)
    found = Path(Warehouse.of(settings).uri(table)).rglob("*.parquet")
    return {path.name for path in found} - {uri.rpartition("/")[2] for uri in opened.file_uris()}


def run_on_spark_here(settings: Settings, file: Path) -> IngestReport:
    return ingest_on_spark(settings, fraud_project(settings), str(file), file_format="handbook")


@pytest.fixture(scope="module")
def clean_on_spark(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Clean:
    """A file, and what one run on Spark without faults says and leaves."""
    del spark
    home = tmp_path_factory.mktemp("clean")
    file = write_handbook(home / "rows.parquet", 900)
    report = run_on_spark_here(settings_in(home), file)
    return file, report, contents(settings_in(home))


def test_killed_on_spark_while_it_writes_each_table_in_turn_the_tables_are_those_of_a_clean_run(
    clean_on_spark: Clean, tmp_path: Path
) -> None:
    file, clean_report, clean = clean_on_spark
    settings = settings_in(tmp_path)
    committed: list[str] = []
    for table, committed_before in (
        ("quarantine.transactions", []),
        ("bronze.transactions", ["quarantine.transactions"]),
        ("bronze.transaction_labels", ["bronze.transactions", "quarantine.transaction_labels"]),
    ):
        with started(ON_SPARK, tmp_path, file, stdout=PIPE, stderr=DEVNULL) as child:
            await_a_file(child, settings, table)
            # The JVM as well.
            os.killpg(child.pid, signal.SIGKILL)
            assert child.wait() == KILLED
        committed += committed_before
        assert torn_files(settings, table)
        assert contents(settings) == {
            name: rows if name in committed else [] for name, rows in clean.items()
        }

    report = run_on_spark_here(settings, file)
    assert contents(settings) == clean
    require_counts_to_add_up(report, clean_report)
    of_transactions, of_labels = report.sources
    assert of_transactions.already_ingested == of_transactions.rows
    assert of_labels.already_ingested == 0


def test_a_jvm_whose_python_was_killed_ends_by_itself_and_adds_nothing_to_the_next_run(
    clean_on_spark: Clean, tmp_path: Path
) -> None:
    file, _, clean = clean_on_spark
    settings = settings_in(tmp_path)
    with started(ON_SPARK, tmp_path, file, stdout=PIPE, stderr=DEVNULL) as child:
        await_a_file(child, settings, "bronze.transactions")
        child.kill()
        assert child.wait() == KILLED
        # At once: the JVM may still be about to commit what it writes.
        run_on_spark_here(settings, file)
        child.communicate(timeout=60)
    assert contents(settings) == clean
