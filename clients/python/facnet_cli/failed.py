"""`facnet failed`: jobs that ended badly, whoever owns them, and trying them again."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer
from rich.text import Text

from facnet_cli.choices import day
from facnet_cli.exits import ExitCode
from facnet_cli.options import LISTED, Before, Everything, Limit, Since, page_size
from facnet_cli.output import print_json, printable
from facnet_cli.problem import Problem
from facnet_cli.session import Session, session
from facnet_client.client import FacnetClient
from facnet_client.errors import Conflict, FacnetError, InvalidRequest, NotFound
from facnet_client.operations import FailedJob, JobKind, Replay

_Codes = Annotated[list[str] | None, typer.Option("--code", help="help.failed.code", metavar="metavar.code")]
_Owner = Annotated[str, typer.Option(help="help.failed.owner", metavar="metavar.name", show_default=False)]


def list_(
    context: typer.Context,
    *,
    owner: _Owner = "",
    code: _Codes = None,
    since: Since = None,
    before: Before = None,
    limit: Limit = LISTED,
    everything: Everything = False,
) -> None:
    """List jobs that ended badly, latest first."""
    told = session(context)
    most = None if everything else limit
    with told.client() as client:
        jobs = client.operations.failed(
            owner=owner,
            codes=code or [],
            failed_from=day("--from", since),
            failed_before=day("--before", before),
            page_size=page_size(most),
        )
        told.print_each(jobs, partial(_line, told), nothing="failed.empty", most=most)


def replay(
    context: typer.Context,
    validation_ids: Annotated[list[str] | None, typer.Argument(help="help.failed.ids", metavar="metavar.ids")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="help.failed.all")] = False,
    code: _Codes = None,
    owner: _Owner = "",
) -> None:
    """Queue failed runs again. What cannot be queued is told, and does not keep the others."""
    told = session(context)
    if bool(validation_ids) is everything or ((code or owner) and not everything):
        raise Problem("which_failed", ExitCode.USAGE)
    ended = ExitCode.OK
    with told.client() as client:
        wanted = _all(client, code or [], owner) if everything else validation_ids or []
        for validation_id in wanted:
            ended = _replay(told, client, validation_id) or ended
    if not wanted and not told.as_json:
        told.out.print(told.texts("failed.empty"))
    if ended:
        raise typer.Exit(ended)


def _all(client: FacnetClient, codes: list[str], owner: str) -> list[str]:
    jobs = client.operations.failed(codes=codes, owner=owner)
    return [job.validation_id for job in jobs if job.can_replay]


def _replay(told: Session, client: FacnetClient, validation_id: str) -> ExitCode:
    try:
        _tell(told, client.operations.replay(validation_id))
    except (Conflict, NotFound, InvalidRequest) as error:
        return _refused(told, validation_id, error)
    return ExitCode.OK


def _refused(told: Session, validation_id: str, error: FacnetError) -> ExitCode:
    if told.as_json:
        print_json({"validation_id": validation_id, "replayed": False, "reason": error.reason})
    else:
        told.out.print(f"{printable(validation_id)}:", end=" ")
    return ExitCode(told.reporter.call(error))


def _tell(told: Session, answer: Replay) -> None:
    run = answer.validation
    if told.as_json:
        print_json({"validation_id": run.validation_id, "replayed": answer.replayed, "status": run.status})
    else:
        key = "control.status" if answer.replayed else "failed.on_its_way"
        told.out.print(told.texts(key, id=run.validation_id, status=told.texts(f"status.{run.status.value}")))


def _line(told: Session, job: FailedJob) -> None:
    texts = told.texts
    if job.kind is JobKind.REVALIDATION:
        state = texts("failed.revalidation")
    else:
        state = texts("failed.kept", time=texts.moment(job.expire_time)) if job.can_replay else texts("failed.gone")
    told.out.print(
        Text.assemble(
            f"{job.validation_id}  {texts.moment(job.end_time)}  ",
            (f"{job.error.code:<20}", "red"),
            f"  {job.attempt:>2}  {printable(job.owner)}  {printable(job.file_name)}  ",
            (state, "dim"),
        ),
    )
