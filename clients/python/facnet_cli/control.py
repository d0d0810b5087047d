"""`facnet cancel`, `facnet retry` and `facnet delete`: change what becomes of runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from facnet_cli.exits import ExitCode
from facnet_cli.output import print_json
from facnet_cli.problem import Problem
from facnet_cli.session import Session, session
from facnet_client.values import Status, Validation

_Id = Annotated[str, typer.Argument(help="help.id", metavar="metavar.id")]


def cancel(context: typer.Context, validation_id: _Id) -> None:
    """End a run that is not over."""
    told = session(context)
    with told.client() as client:
        run = client.cancel(validation_id)
    asked = run.status is Status.PROCESSING
    _tell(told, run, "cancel.asked" if asked else "control.status")


def retry(context: typer.Context, validation_id: _Id) -> None:
    """Queue a failed run again."""
    told = session(context)
    with told.client() as client:
        run = client.retry(validation_id)
    _tell(told, run, "control.status")


def delete(
    context: typer.Context,
    validation_id: _Id,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="help.delete.yes")] = False,
) -> None:
    """Remove a run that is over, with its lines, results and file."""
    told = session(context)
    if not yes and not _agreed(told, validation_id):
        raise Problem("not_confirmed", ExitCode.USAGE)
    with told.client() as client:
        client.delete(validation_id)
    if told.as_json:
        print_json({"validation_id": validation_id, "deleted": True})
    else:
        told.out.print(told.texts("delete.done", id=validation_id))


def _agreed(told: Session, validation_id: str) -> bool:
    if told.as_json or not sys.stdin.isatty():
        return False
    sys.stderr.write(told.texts("delete.sure", id=validation_id) + " ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in told.texts("delete.yes").split()


def _tell(told: Session, run: Validation, key: str) -> None:
    if told.as_json:
        print_json(run)
    else:
        status = told.texts(f"status.{run.status.value}")
        told.out.print(told.texts(key, id=run.validation_id, status=status))
