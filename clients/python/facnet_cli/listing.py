"""`facnet list` and `facnet show`: runs."""

from __future__ import annotations

from typing import Annotated

import typer

from facnet_cli.choices import StatusWord, day
from facnet_cli.options import LISTED, Before, Everything, Limit, Since, page_size
from facnet_cli.output import print_json
from facnet_cli.render import Renderer
from facnet_cli.run import figures, rejection_texts
from facnet_cli.session import session
from facnet_client.values import Status


def list_(
    context: typer.Context,
    *,
    status: Annotated[list[StatusWord] | None, typer.Option(help="help.list.status", case_sensitive=False)] = None,
    batch: Annotated[str, typer.Option(help="help.list.batch", metavar="metavar.name", show_default=False)] = "",
    name: Annotated[str, typer.Option(help="help.list.name", metavar="metavar.text", show_default=False)] = "",
    since: Since = None,
    before: Before = None,
    limit: Limit = LISTED,
    everything: Everything = False,
) -> None:
    """List the caller's runs, newest first."""
    told = session(context)
    most = None if everything else limit
    with told.client() as client:
        runs = client.list(
            statuses=[word.value_of_client for word in status or []],
            batch_id=batch,
            file_name_contains=name,
            created_from=day("--from", since),
            created_before=day("--before", before),
            page_size=page_size(most),
        )
        told.print_each(runs, Renderer(told.out, told.texts).run_line, nothing="list.empty", most=most)


def show(
    context: typer.Context,
    validation_id: Annotated[str, typer.Argument(help="help.id", metavar="metavar.id")],
) -> None:
    """Print what is known of a run, and its figures once it is completed."""
    told = session(context)
    with told.client() as client:
        run = client.get(validation_id)
        summary = client.summary(validation_id) if run.status is Status.COMPLETED else None
        reasons = rejection_texts(client, summary) if summary and not told.as_json else {}
    if told.as_json:
        print_json({"validation": run, "summary": figures(summary) if summary else None})
        return
    renderer = Renderer(told.out, told.texts)
    renderer.validation(run)
    if run.error is not None:
        told.out.print(f"  {run.error.message} {run.error.cure}  [{run.error.code}]")
    if summary is not None:
        told.out.print()
        renderer.summary(summary, reasons)
