"""`headrace bench loader` and `stage`: training sets read and written, beside the peers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace_orchestration.output import console, print_table, status

Rows = Annotated[int, typer.Option(help="Of the set, 67 values each.", min=1_000)]
Repeat = Annotated[int, typer.Option(help="Rounds.", min=1)]
Peer = Annotated[bool, typer.Option(help="Have the peers read or write the same rows too.")]
PeerPython = Annotated[
    Path | None,
    typer.Option(help="The interpreter of their environment; else what make trainer-setup makes."),
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures to a file.")]


def loader(
    rows: Rows = 5_000_000,
    repeat: Repeat = 3,
    peer: Peer = True,
    peer_python: PeerPython = None,
    json_file: JsonFile = None,
) -> None:
    """Rows of a training set on one core, beside mosaicml-streaming, WebDataset and Parquet."""
    from headrace_orchestration.benchmarks.loader import measure

    with status("bench loader") as advance:
        figures = measure(rows, repeat, peer_python, advance, with_peer=peer)
    _write(json_file, figures)
    memory = figures.memory_bytes_per_s / 1e9
    print_table(
        f"{figures.rows:,} rows of {figures.row_bytes} bytes, batches of {figures.batch_rows:,},"
        " on one core",
        ("", "", "target"),
        [
            ("loader, shuffled, rows a second", int(figures.rows_per_s), "≥ 2,000,000"),
            ("  in the slowest round", int(figures.least_rows_per_s), ""),
            ("  first epoch, with hashes", int(figures.first_rows_per_s), ""),
            ("  the same from the disk", int(figures.cold_rows_per_s), ""),
            (
                f"  share of the {memory:.1f} GB a second of a copy",
                f"{figures.share_of_memory_bandwidth:.1%}",
                "",
            ),
            (
                "  bytes of buffers",
                figures.buffer_bytes,
                f"≤ {figures.most_buffer_bytes:,}",
            ),
            ("Parquet, shuffled within batches", int(figures.parquet_rows_per_s), ""),
            ("mosaicml-streaming, the same shards", _whole(figures.peer_rows_per_s), ""),
            ("  loader ÷ mosaicml-streaming", _whole(figures.loader_to_peer), "≥ 200"),
            ("WebDataset, a tar of the same rows", _whole(figures.webdataset_rows_per_s), ""),
        ],
    )
    if not peer:
        return
    device = figures.device
    if device is None:
        console().print("no GPU")
        return
    print_table(
        f"On {device['device']}, by {device['threads']} threads",
        ("", ""),
        [
            ("rows a second", int(device["rows_per_s"])),
            ("bytes a second of copies alone", int(device["copy_bytes_per_s"])),
            ("  share of that", f"{device['share_of_copy']:.1%}"),
            ("waiting for rows while it trains", f"{device['idle_share']:.1%}"),
        ],
    )


def stage(
    rows: Rows = 5_000_000,
    repeat: Repeat = 3,
    peer: Peer = True,
    peer_python: PeerPython = None,
    json_file: JsonFile = None,
) -> None:
    """Rows with features as a published set on one core, beside `dataframe_to_mds`."""
    from headrace_orchestration.benchmarks.stage import measure

    with status("bench stage") as advance:
        figures = measure(rows, repeat, peer_python, advance, with_peer=peer)
    _write(json_file, figures)
    print_table(
        f"{figures.rows:,} rows of {figures.columns} columns, Parquet to shards, on one core",
        ("", "rows a second", "target"),
        [
            ("headrace stage", int(figures.rows_per_s), ""),
            ("  in the slowest round", int(figures.least_rows_per_s), ""),
            (f"dataframe_to_mds, {figures.peer_rows:,} rows", _whole(figures.peer_rows_per_s), ""),
            ("  stage ÷ dataframe_to_mds", figures.stage_to_peer, "≥ 20"),
        ],
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _write(file: Path | None, figures: Any) -> None:
    if file is not None:
        file.write_text(json.dumps(asdict(figures), indent=2) + "\n", encoding="utf-8")
