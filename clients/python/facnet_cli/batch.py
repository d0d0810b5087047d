"""`facnet batch`, and following a batch: runs that were submitted under one name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from facnet_cli.exits import ExitCode
from facnet_cli.output import print_json
from facnet_cli.progress import Bars
from facnet_cli.render_records import RecordRenderer
from facnet_cli.session import Session, session
from facnet_client.client import FacnetClient
from facnet_client.values import Status, Update


def batch(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="help.batch.name", metavar="metavar.name")],
    *,
    no_duplicates: Annotated[bool, typer.Option("--no-duplicates", help="help.batch.no_duplicates")] = False,
) -> None:
    """Sum up a batch."""
    told = session(context)
    with told.client() as client:
        _tell(told, client, name, duplicates=not no_duplicates)


def follow_batch(
    told: Session,
    client: FacnetClient,
    name: str,
    show: Callable[[Bars, Update], None] = Bars.run,
) -> ExitCode:
    """Follow a batch to its end, sum it up, and return the code to leave with."""
    with Bars(told.texts) as bars:
        for update in client.watch_batch(name, bars.broken):
            show(bars, update)
    return _tell(told, client, name, duplicates=True)


def _tell(told: Session, client: FacnetClient, name: str, *, duplicates: bool) -> ExitCode:
    found = client.batch(name, duplicates=duplicates)
    print_json(found) if told.as_json else RecordRenderer(told.out, told.texts).batch(found)
    return ExitCode.RUN_FAILED if found.status in {Status.FAILED, Status.CANCELLED} else ExitCode.OK
