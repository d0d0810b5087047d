"""`facnet list`, `show`, `batch`, `cancel`, `retry` and `delete`: runs and batches of the caller."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from facnet_cli import views
from facnet_cli.columns import RUNS, status
from facnet_cli.errors import ExitCode, Problem
from facnet_cli.options import DEFAULT_LIMIT, Before, Everything, Id, Limit, Since, StatusWord, day, page_size
from facnet_cli.session import Session, get_session
from facnet_client.client import FacnetClient
from facnet_client.values import Status, Summary, Validation


def list_(
    context: typer.Context,
    *,
    statuses: Annotated[
        list[StatusWord] | None, typer.Option("--status", help="help.list.status", case_sensitive=False)
    ] = None,
    batch: Annotated[str, typer.Option(help="help.list.batch", metavar="metavar.name", show_default=False)] = "",
    name: Annotated[str, typer.Option(help="help.list.name", metavar="metavar.text", show_default=False)] = "",
    since: Since = None,
    before: Before = None,
    limit: Limit = DEFAULT_LIMIT,
    everything: Everything = False,
) -> None:
    """List the caller's runs, newest first."""
    session = get_session(context)
    most = None if everything else limit
    with session.client() as client:
        runs = client.list(
            statuses=[Status[word.upper()] for word in statuses or []],
            batch_id=batch,
            file_name_contains=name,
            created_from=day("--from", since),
            created_before=day("--before", before),
            page_size=page_size(most),
        )
        session.print_rows(runs, RUNS, empty="list.empty", limit=most)


def show(context: typer.Context, validation_id: Id) -> None:
    """Print what is known of a run, and its figures once it is completed."""
    session = get_session(context)
    with session.client() as client:
        run = client.get(validation_id)
        summary = client.summary(validation_id) if run.status is Status.COMPLETED else None
        reasons = rejection_texts(client, summary) if summary and not session.as_json else {}
    data = {"validation": run, "summary": figures(summary) if summary else None}
    session.answer(data, views.run(run, session.texts))
    if summary and not session.as_json:
        session.print(["", *views.summary(summary, reasons, session.texts)])


def batch(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="help.batch.name", metavar="metavar.name")],
    *,
    no_duplicates: Annotated[bool, typer.Option("--no-duplicates", help="help.batch.no_duplicates")] = False,
) -> None:
    """Print the runs and the figures of a batch."""
    session = get_session(context)
    with session.client() as client:
        print_batch(session, client, name, duplicates=not no_duplicates)


def cancel(context: typer.Context, validation_id: Id) -> None:
    """Cancel a run that has not ended."""
    session = get_session(context)
    with session.client() as client:
        run = client.cancel(validation_id)
    _print_status(session, run, "cancel.asked" if run.status is Status.PROCESSING else "control.status")


def retry(context: typer.Context, validation_id: Id) -> None:
    """Queue a failed run again."""
    session = get_session(context)
    with session.client() as client:
        _print_status(session, client.retry(validation_id), "control.status")


def delete(
    context: typer.Context,
    validation_id: Id,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="help.delete.yes")] = False,
) -> None:
    """Delete a run that has ended, with its rows, results and file."""
    session = get_session(context)
    if not yes and not _confirmed(session, validation_id):
        raise Problem("not_confirmed", ExitCode.USAGE)
    with session.client() as client:
        client.delete(validation_id)
    data = {"validation_id": validation_id, "deleted": True}
    session.answer(data, [session.texts("delete.done", id=validation_id)])


def figures(summary: Summary) -> dict[str, object]:
    """Return a summary without its run, for JSON that has the run beside it."""
    names = [name for name in Summary.__dataclass_fields__ if name != "validation"]
    return {name: getattr(summary, name) for name in names}


def rejection_texts(client: FacnetClient, summary: Summary) -> dict[tuple[str, str], str]:
    """Return the text of each kind of rejection, by reason and column, in the client's language."""
    if not summary.rejections:
        return {}
    rows = client.rejects(summary.validation.validation_id)
    return {(row.reason, row.column): row.message for row in rows}


def print_batch(session: Session, client: FacnetClient, name: str, *, duplicates: bool) -> ExitCode:
    """Print a batch and return the exit code that its status means."""
    found = client.batch(name, duplicates=duplicates)
    session.answer(found, views.batch(found, session.texts))
    return ExitCode.RUN_FAILED if found.status in {Status.FAILED, Status.CANCELLED} else ExitCode.OK


def _confirmed(session: Session, validation_id: str) -> bool:
    if session.as_json or not session.system.is_terminal(sys.stdin):
        return False
    sys.stderr.write(session.texts("delete.sure", id=validation_id) + " ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in session.texts("delete.yes").split()


def _print_status(session: Session, run: Validation, key: str) -> None:
    session.answer(run, [session.texts(key, id=run.validation_id, status=status(run.status, session.texts))])
