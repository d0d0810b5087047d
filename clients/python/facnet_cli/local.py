"""Commands that run the service on this machine: this process becomes `python -m facnet_grpc <command>`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from facnet_cli.session import Session, session
from facnet_cli.stack import require

# What these commands do not know is for the service's own parser.
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def dev(context: typer.Context) -> None:
    """Start a whole stack on this machine."""
    require("server", "embedded")
    become(session(context), "dev", context.args)


def serve(context: typer.Context) -> None:
    """Start a server."""
    require("server")
    become(session(context), "serve", context.args)


def worker(context: typer.Context) -> None:
    """Start a worker."""
    require("server")
    become(session(context), "worker", context.args)


def migrate(context: typer.Context) -> None:
    """Bring the database up to date."""
    require("server")
    become(session(context), "migrate", context.args)


def doctor(context: typer.Context) -> None:
    """Check that everything the service needs is there."""
    require("server")
    become(session(context), "doctor", context.args)


def sample(
    context: typer.Context,
    rows: Annotated[int, typer.Argument(help="help.sample.rows", metavar="metavar.number", min=1)],
    out: Annotated[Path, typer.Argument(help="help.sample.out", metavar="metavar.out")],
    seed: Annotated[int | None, typer.Option(help="help.sample.seed", metavar="metavar.number")] = None,
) -> None:
    """Write a synthetic claim file."""
    require("server")
    seeded = [] if seed is None else ["--seed", str(seed)]
    become(session(context), "sample", [str(rows), str(out), *seeded, *context.args])


def inspect(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="help.inspect.file", metavar="metavar.file")],
    encoding: Annotated[str | None, typer.Option(help="help.inspect.encoding", metavar="metavar.text")] = None,
    delimiter: Annotated[str | None, typer.Option(help="help.inspect.delimiter", metavar="metavar.text")] = None,
    lines: Annotated[int | None, typer.Option(help="help.inspect.lines", metavar="metavar.number", min=0)] = None,
) -> None:
    """Say what a claim file looks like, without a server."""
    require("server")
    told = {"--encoding": encoding, "--delimiter": delimiter, "--lines": lines}
    given = [word for option, value in told.items() if value is not None for word in (option, str(value))]
    become(session(context), "inspect", [*given, "--", str(file)])


def become(told: Session, command: str, arguments: list[str]) -> NoReturn:
    """Replace this process by the service's own command."""
    if told.server is not None:
        os.environ["FACNET_SERVER"] = told.server  # as if it had been named there: doctor looks
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "facnet_grpc", command, *_shared(told), *arguments])  # noqa: S606 - no shell is wanted


def _shared(told: Session) -> list[str]:
    return ["--lang", told.texts.language, *(["--json"] if told.as_json else [])]
