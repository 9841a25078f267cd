"""`headrace deadletters`: records that the stream could not use."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from headrace_orchestration.output import JsonOption, console, print_json, print_table, status
from headrace_orchestration.session import current_settings

app = typer.Typer(no_args_is_help=True, help="Look at records that could not be used; retry them.")

Reason = Annotated[str | None, typer.Option(help="Only those with this reason code.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]
_SHOWN = 60


@app.command("list")
def show(reason: Reason = None, limit: Limit = 100, as_json: JsonOption = False) -> None:
    """List them: where each was, why it could not be used, and its bytes."""
    from headrace_streaming.kafka.clients import kafka_config
    from headrace_streaming.kafka.dead_letters import dead_letters

    found = dead_letters(kafka_config(current_settings()))
    wanted = (one for one in found if reason is None or one.reason == reason)
    rows = [
        {
            "topic": one.topic,
            "partition": one.partition,
            "offset": one.offset,
            "reason": one.reason,
            "message": one.message,
            "value": one.value.decode(errors="replace"),
        }
        for one in islice(wanted, limit)
    ]
    if as_json:
        print_json(rows)
        return
    if not rows:
        console().print("there are none")
        return
    columns = ("record", "reason", "message", "bytes")
    print_table(
        None,
        columns,
        [
            (
                f"{row['topic']}/{row['partition']}/{row['offset']}",
                row["reason"],
                row["message"],
                str(row["value"])[:_SHOWN],
            )
            for row in rows
        ],
    )


@app.command()
def replay(reason: Reason = None, as_json: JsonOption = False) -> None:
    """Send them to their topics again, each once: after the contract was mended."""
    from headrace_streaming.kafka import dead_letters
    from headrace_streaming.kafka.clients import kafka_config

    with status("headrace deadletters replay"):
        sent = dead_letters.replay(kafka_config(current_settings()), reason)
    if as_json:
        print_json({"sent": sent})
    else:
        console().print(f"{sent} records sent again")
