"""The `headrace` command: its sub-commands, and how it ends."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from headrace_orchestration.commands import (
    apply,
    backfill,
    baselines,
    bench,
    deadletters,
    demo,
    doctor,
    features,
    ingest,
    init,
    lineage,
    maintain,
    materialize,
    online,
    parity,
    plan,
    quarantine,
    replay,
    send,
    serve,
    services,
    shards,
    simulate,
    stage,
    stream,
    training,
    validate,
    versions,
    writer,
)
from headrace_orchestration.commands import (
    run as run_commands,
)
from headrace_schemas.errors import ConfigurationError, HeadraceError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        from importlib.metadata import version

        typer.echo(f"headrace {version('headrace')}")
        raise typer.Exit


@app.callback()
def headrace(
    _: Annotated[  # noqa: FBT002 - a flag of a command is a boolean
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Features declared once: computed here or on Spark, kept for Feast, the same everywhere."""


# The order of --help: what a newcomer runs first comes first.
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("init")(init.init)
app.command("simulate")(simulate.simulate)
app.command("ingest")(ingest.ingest)
app.command("validate")(validate.validate)
app.add_typer(baselines.app, name="baseline")
app.add_typer(quarantine.app, name="quarantine")
app.command("plan")(plan.plan)
app.command("apply")(apply.apply)
app.command("backfill")(backfill.backfill)
app.command("materialize")(materialize.materialize)
app.add_typer(run_commands.app, name="run")
app.add_typer(features.app, name="features")
app.command("stage")(stage.stage)
app.add_typer(training.app, name="training")
app.add_typer(shards.app, name="shards")
app.command("serve")(serve.serve)
app.command("up")(services.up)
app.command("down")(services.down)
app.command("status")(services.show)
app.add_typer(stream.app, name="stream")
app.add_typer(writer.app, name="writer")
app.add_typer(online.app, name="online")
app.command("send")(send.send)
app.add_typer(deadletters.app, name="deadletters")
app.command("parity")(parity.parity)
app.command("lineage")(lineage.lineage)
app.command("replay")(replay.replay)
app.command("promote")(versions.promote)
app.command("rollback")(versions.rollback)
app.add_typer(versions.app, name="versions")
app.add_typer(maintain.app, name="maintain")
app.add_typer(bench.app, name="bench")

#: The extra that brings a package which a command needs.
_EXTRAS = {
    "feast": "serving",
    "great_expectations": "quality",
    "uvicorn": "serving",
    "pyspark": "batch",
    "delta": "batch",
    "jgo": "batch",
    "duckdb": "bench",
    "fsspec": "training",
    "zstandard": "training",
    "psutil": "bench",
    "confluent_kafka": "streaming",
    "pyflink": "streaming",
}
_IO = 74
_INTERRUPTED = 130
_INTERNAL_ERROR = 70


def main() -> None:
    """Run the command, and end the process."""
    try:
        run()
    except SystemExit as end:
        if not end.code:
            raise
        # After an error threads may still be reading an object store through Python, which
        # crashes or waits for ever if the interpreter is taken down under them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


def run() -> None:
    """Run the command; an error is one line on standard error and a status that isn't 0."""
    try:
        _run_app()
    except HeadraceError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        advice = "" if extra is None else f" (pip install 'headrace[{extra}]')"
        _fail(f"the package {error.name!r} is not installed{advice}", ConfigurationError.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted; what was published stays whole, run it again to go on", _INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if os.environ.get("HEADRACE_DEBUG"):
            raise
        told = str(error) if error.filename is None else f"{error.filename}: {error.strerror}"
        _fail(f"{told} (see HEADRACE_HOME and the paths given)", _IO)
    except Exception as error:
        if os.environ.get("HEADRACE_DEBUG"):
            raise
        lines = str(error).strip().splitlines()
        shown = lines[0] if lines else ""
        _fail(
            f"internal error: {type(error).__name__}: {shown} (set HEADRACE_DEBUG=1 to see where)",
            _INTERNAL_ERROR,
        )


def _run_app() -> None:
    try:
        app(prog_name="headrace")
    except SystemExit as end:
        # Typer ends so on Ctrl-C, and says nothing.
        if end.code == _INTERRUPTED:
            raise KeyboardInterrupt from None
        raise


def _fail(message: str, status: int) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"headrace: {message}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
