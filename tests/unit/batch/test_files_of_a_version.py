"""Of which files a table of events was made, now and as it was."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from headrace_batch.provenance import events_made
from headrace_batch.warehouse import Warehouse
from headrace_features.fraud.definitions import transactions
from headrace_schemas.tables import relative_path


def test_a_version_has_the_files_that_had_come_by_then(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    for number in range(4):
        write_deltalake(
            f"{tmp_path}/{relative_path(transactions.table)}",
            pa.table({"number": [number]}),
            mode="append",
            commit_properties=CommitProperties(
                custom_metadata={
                    "headrace.file": f"{number}.parquet",
                    "headrace.ingest_id": f"id-{number}",
                }
            ),
        )
    for version, files in ((None, 4), (3, 4), (1, 2), (0, 1)):
        made = events_made(warehouse, transactions, version)
        assert made is not None
        assert made.version == (3 if version is None else version)
        assert [(one.file, one.version) for one in made.files] == [
            (f"{number}.parquet", number) for number in reversed(range(files))
        ]
