"""`facnet records` and `facnet logs`: the lines of a run, and what happened to it."""

from __future__ import annotations

from typing import Annotated

import typer

from facnet_cli.choices import LevelWord
from facnet_cli.options import Limit, page_size
from facnet_cli.render_records import RecordRenderer
from facnet_cli.session import session


def records(
    context: typer.Context,
    validation_id: Annotated[str, typer.Argument(help="help.id", metavar="metavar.id")],
    *,
    line: Annotated[list[int] | None, typer.Option(help="help.records.line", metavar="metavar.number", min=1)] = None,
    limit: Limit = None,
) -> None:
    """Print the lines of a completed run."""
    told = session(context)
    renderer = RecordRenderer(told.out, told.texts)
    with told.client() as client:
        found = client.records(validation_id, record_numbers=line or [], page_size=page_size(limit))
        told.print_each(found, renderer.record, nothing="records.empty", most=limit)


def logs(
    context: typer.Context,
    validation_id: Annotated[str, typer.Argument(help="help.id", metavar="metavar.id")],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="help.logs.follow")] = False,
    level: Annotated[LevelWord, typer.Option(help="help.logs.level", case_sensitive=False)] = LevelWord.DEBUG,
    source: Annotated[str, typer.Option(help="help.logs.source", metavar="metavar.name", show_default=False)] = "",
) -> None:
    """Print what happened to a run."""
    told = session(context)
    renderer = RecordRenderer(told.out, told.texts)
    with told.client() as client:
        entries = client.logs(validation_id, min_level=level.value_of_client, source=source, follow=follow)
        told.print_each(entries, renderer.log_entry, nothing="logs.empty", at_once=follow)
