"""Following a run to its end on the screen, and what its end means for the exit code."""

from __future__ import annotations

from collections.abc import Callable

from facnet_cli.exits import ExitCode
from facnet_cli.problem import Problem
from facnet_cli.session import Session
from facnet_client.client import FacnetClient
from facnet_client.values import Status, Update
from facnet_client.watch import OnBreak


def follow(
    client: FacnetClient,
    validation_id: str,
    show: Callable[[Update], None],
    on_break: OnBreak | None = None,
) -> Update:
    """Show every state of a run and return the terminal one. Raises `FacnetError`."""
    last: Update | None = None
    for last in client.watch(validation_id, on_break=on_break):
        show(last)
    if last is None:  # a watch ends with a terminal state or with an error
        raise Problem("bug", ExitCode.BUG, kind="EmptyWatch")
    return last


def conclude(session: Session, update: Update) -> ExitCode:
    """Tell why a run failed, if it did, and return the code to leave with."""
    if update.status is Status.COMPLETED:
        return ExitCode.OK
    if update.error is not None:
        session.reporter.run(update.error)
    elif update.status is Status.CANCELLED:
        session.reporter.problem(Problem("cancelled", ExitCode.RUN_FAILED))
    return ExitCode.RUN_FAILED
