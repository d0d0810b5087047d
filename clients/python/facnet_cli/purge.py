"""`facnet purge`: remove runs that ended long enough ago, through a server that was named or in the database itself."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from facnet_cli.exits import ExitCode
from facnet_cli.local import become
from facnet_cli.output import print_json, printable
from facnet_cli.problem import Problem
from facnet_cli.session import Session, session
from facnet_cli.stack import require

_DAYS = re.compile(r"(\d{1,5})d?")


def purge(
    context: typer.Context,
    *,
    older_than: Annotated[str | None, typer.Option(help="help.purge.older_than", metavar="metavar.days")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="help.purge.dry_run")] = False,
) -> None:
    """Remove validations that have been kept long enough, or count them."""
    told = session(context)
    days = _days(older_than)
    if told.server is not None:
        _through_server(told, days, dry_run=dry_run)
        return
    require("server")
    arguments = [] if days is None else ["--older-than", str(days)]
    become(told, "purge", [*arguments, *(["--dry-run"] if dry_run else [])])


def _through_server(told: Session, days: int | None, *, dry_run: bool) -> None:
    count, more = 0, True
    with told.client() as client:
        while more:
            purged = client.operations.purge(older_than_days=days, dry_run=dry_run)
            count, more = count + purged.purged, purged.more
    days = purged.older_than_days
    if told.as_json:
        print_json({"validations": count, "older_than_days": days, "dry_run": dry_run})
    else:
        told.out.print(told.texts("purge.counted" if dry_run else "purge.done", count=count, days=days))


def _days(given: str | None) -> int | None:
    if given is None:
        return None
    found = _DAYS.fullmatch(given)
    if found is None:
        raise Problem("days", ExitCode.USAGE, given=printable(given))
    return int(found[1])
