"""`facnet failed` and `facnet purge`: failed jobs of all owners, and runs past their retention period."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from facnet_cli.columns import FAILED_JOBS, status
from facnet_cli.errors import ExitCode, Problem
from facnet_cli.local import run_service_command
from facnet_cli.options import DEFAULT_LIMIT, Before, Everything, Limit, Since, day, page_size
from facnet_cli.output import print_json
from facnet_cli.session import Session, get_session
from facnet_cli.texts import printable
from facnet_client.client import FacnetClient
from facnet_client.errors import Conflict, FacnetError, InvalidRequest, NotFound

_Codes = Annotated[list[str] | None, typer.Option("--code", help="help.failed.code", metavar="metavar.code")]
_Owner = Annotated[str, typer.Option(help="help.failed.owner", metavar="metavar.name", show_default=False)]
_DAYS = re.compile(r"(\d{1,5})d?")


def failed(
    context: typer.Context,
    *,
    owner: _Owner = "",
    code: _Codes = None,
    since: Since = None,
    before: Before = None,
    limit: Limit = DEFAULT_LIMIT,
    everything: Everything = False,
) -> None:
    """List failed jobs, latest first."""
    session = get_session(context)
    most = None if everything else limit
    with session.client() as client:
        jobs = client.operations.failed(
            owner=owner,
            codes=code or [],
            failed_from=day("--from", since),
            failed_before=day("--before", before),
            page_size=page_size(most),
        )
        session.print_rows(jobs, FAILED_JOBS, empty="failed.empty", limit=most)


def replay(
    context: typer.Context,
    validation_ids: Annotated[list[str] | None, typer.Argument(help="help.failed.ids", metavar="metavar.ids")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="help.failed.all")] = False,
    code: _Codes = None,
    owner: _Owner = "",
) -> None:
    """Queue failed runs again. A run that cannot be queued is reported and does not stop the others."""
    session = get_session(context)
    if bool(validation_ids) is everything or ((code or owner) and not everything):
        raise Problem("which_failed", ExitCode.USAGE)
    with session.client() as client:
        if everything:
            jobs = client.operations.failed(codes=code or [], owner=owner)
            validation_ids = [job.validation_id for job in jobs if job.can_replay]
        codes = [_replay(session, client, validation_id) for validation_id in validation_ids or []]
    if not codes and not session.as_json:
        session.say("failed.empty")
    if last := next((code for code in reversed(codes) if code), None):
        raise typer.Exit(last)


def purge(
    context: typer.Context,
    *,
    older_than: Annotated[str | None, typer.Option(help="help.purge.older_than", metavar="metavar.days")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="help.purge.dry_run")] = False,
) -> None:
    """Delete runs past their retention period, or count them: through a given server, or directly in the database."""
    session = get_session(context)
    days = _days(older_than)
    if session.server is not None:
        _purge(session, days, dry_run=dry_run)
        return
    arguments = [] if days is None else ["--older-than", str(days)]
    run_service_command(session, "purge", [*arguments, *(["--dry-run"] if dry_run else [])])


def _replay(session: Session, client: FacnetClient, validation_id: str) -> int:
    try:
        answer = client.operations.replay(validation_id)
    except (Conflict, NotFound, InvalidRequest) as error:
        return _report_refusal(session, validation_id, error)
    run = answer.validation
    data = {"validation_id": run.validation_id, "replayed": answer.replayed, "status": run.status}
    key = "control.status" if answer.replayed else "failed.on_its_way"
    session.answer(data, [session.texts(key, id=run.validation_id, status=status(run.status, session.texts))])
    return ExitCode.OK


def _report_refusal(session: Session, validation_id: str, error: FacnetError) -> int:
    if session.as_json:
        print_json({"validation_id": validation_id, "replayed": False, "reason": error.reason})
    else:
        session.out.print(f"{printable(validation_id)}:", end=" ")
    return session.reporter.report(error)


def _purge(session: Session, days: int | None, *, dry_run: bool) -> None:
    count, more = 0, True
    with session.client() as client:
        while more:
            purged = client.operations.purge(older_than_days=days, dry_run=dry_run)
            count, more = count + purged.purged, purged.more
    data = {"validations": count, "older_than_days": purged.older_than_days, "dry_run": dry_run}
    age = session.texts.count("purge.days", purged.older_than_days)
    session.answer(data, [session.texts.count("purge.counted" if dry_run else "purge.done", count, age=age)])


def _days(text: str | None) -> int | None:
    if text is None:
        return None
    found = _DAYS.fullmatch(text)
    if found is None:
        raise Problem("days", ExitCode.USAGE, given=printable(text))
    return int(found[1])
