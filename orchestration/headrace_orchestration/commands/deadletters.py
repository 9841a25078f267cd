"""`headrace deadletters`: records that the stream could not use."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace_orchestration.output import JsonOption, console, print_json, print_table, status
from headrace_orchestration.session import current_settings
from headrace_schemas.counted import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from confluent_kafka import Message

app = typer.Typer(no_args_is_help=True, help="Look at records that could not be used; retry them.")

Reason = Annotated[str | None, typer.Option(help="Only those with this reason code.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]
_SHOWN = 60


@app.command("list")
def show(reason: Reason = None, limit: Limit = 100, as_json: JsonOption = False) -> None:
    """List them: where each was, why it could not be used, its bytes, and if it was sent again."""
    from headrace_streaming.kafka.clients import kafka_config
    from headrace_streaming.kafka.dead_letters import dead_letters
    from headrace_streaming.kafka.replays import Place, sent_again

    _require_known(reason)
    kafka = kafka_config(current_settings())
    foreign: list[Message] = []
    found = dead_letters(kafka, foreign.append)
    wanted = (one for one in found if reason is None or one.reason == reason)
    done = sent_again(kafka)
    rows = [
        {
            "topic": one.topic,
            "partition": one.partition,
            "offset": one.offset,
            "schema": one.schema,
            "schema_version": one.schema_version,
            "reason": one.reason,
            "message": one.message,
            "value": None if one.value is None else one.value.decode(errors="replace"),
            "replayed": Place.of(one) in done,
        }
        for one in islice(wanted, limit)
    ]
    further = sum(1 for _ in wanted)
    _tell(len(foreign))
    if as_json:
        print_json(rows)
    elif rows:
        _print(rows)
    else:
        console().print("there are none")
    if further:
        typer.echo(f"{further:,} more are not shown: --limit {len(rows) + further}", err=True)


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    columns = ("record", "reason", "message", "bytes", "replayed")
    print_table(
        None,
        columns,
        [
            (
                f"{row['topic']}/{row['partition']}/{row['offset']}",
                row["reason"],
                row["message"],
                None if row["value"] is None else str(row["value"])[:_SHOWN],
                row["replayed"],
            )
            for row in rows
        ],
    )


@app.command()
def replay(reason: Reason = None, as_json: JsonOption = False) -> None:
    """Send them to their topics again, each once: after the contract was mended."""
    from headrace_features.exclusive import exclusive
    from headrace_schemas.errors import RetryableError
    from headrace_streaming.kafka import replays
    from headrace_streaming.kafka.clients import kafka_config

    _require_known(reason)
    settings = current_settings()
    taken = RetryableError("another command sends dead letters again", hint="try again shortly")
    with (
        exclusive(settings.home / "deadletters.lock", taken),
        status("headrace deadletters replay"),
    ):
        done = replays.replay(kafka_config(settings), reason)
    _tell(done.foreign)
    if as_json:
        print_json(done)
    else:
        console().print(f"{counted(done.sent, 'record')} sent again")


def _tell(foreign: int) -> None:
    """Say that there are records that the stream hasn't put aside; they are left where they are."""
    if foreign:
        told = f"{foreign} records in dead-letters are foreign: they don't say where they were"
        typer.echo(told, err=True)


def _require_known(reason: str | None) -> None:
    """See that there is such a reason.

    Raises:
        ConfigurationError: there is none.
    """
    from headrace_schemas.errors import ConfigurationError
    from headrace_schemas.reasons import Reason

    if reason is not None and reason not in list(Reason):
        raise ConfigurationError.unknown("reason", reason, list(Reason))
