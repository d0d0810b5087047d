"""`facnet records` and `facnet logs`: the lines of a run, and what happened to it."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from facnet_client.cli.choices import LevelWord
from facnet_client.cli.output import print_json
from facnet_client.cli.render_records import RecordRenderer
from facnet_client.cli.session import session


def records(
    context: typer.Context,
    validation_id: Annotated[str, typer.Argument(help="help.id", metavar="metavar.id")],
    *,
    line: Annotated[list[int] | None, typer.Option(help="help.records.line", metavar="metavar.number", min=1)] = None,
    limit: Annotated[int | None, typer.Option(help="help.limit", metavar="metavar.number", min=1)] = None,
) -> None:
    """Print the lines of a completed run."""
    told = session(context)
    renderer = RecordRenderer(told.out, told.texts)
    with told.client() as client:
        found = client.records(validation_id, record_numbers=line or [], page_size=min(limit or 1000, 1000))
        empty = True
        for record in islice(found, limit):
            empty = False
            print_json(record) if told.as_json else renderer.record(record)
    if empty and not told.as_json:
        told.out.print(told.texts("records.empty"))


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
        empty = True
        for entry in client.logs(validation_id, min_level=level.value_of_client, source=source, follow=follow):
            empty = False
            print_json(entry) if told.as_json else renderer.log_entry(entry)
            if follow:
                told.out.file.flush()
    if empty and not told.as_json:
        told.out.print(told.texts("logs.empty"))
