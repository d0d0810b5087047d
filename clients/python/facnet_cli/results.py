"""`facnet results` and `facnet rejects`: what was found, and what could not be read."""

from __future__ import annotations

from typing import Annotated

import typer

from facnet_cli.choices import SeverityWord, day_text
from facnet_cli.options import Limit, page_size
from facnet_cli.render import Renderer
from facnet_cli.session import session


def results(  # noqa: PLR0913 - the filters of a list are what they are
    context: typer.Context,
    validation_id: Annotated[str, typer.Argument(help="help.id", metavar="metavar.id")],
    *,
    rule: Annotated[list[str] | None, typer.Option(help="help.results.rule", metavar="metavar.rule")] = None,
    severity: Annotated[
        list[SeverityWord] | None, typer.Option(help="help.results.severity", case_sensitive=False)
    ] = None,
    category: Annotated[list[str] | None, typer.Option(help="help.results.category", metavar="metavar.name")] = None,
    scenario: Annotated[list[str] | None, typer.Option(help="help.results.scenario", metavar="metavar.name")] = None,
    doctor: Annotated[str, typer.Option(help="help.results.doctor", metavar="metavar.key", show_default=False)] = "",
    since: Annotated[str | None, typer.Option("--from", help="help.results.from", metavar="metavar.day")] = None,
    until: Annotated[str | None, typer.Option("--to", help="help.results.to", metavar="metavar.day")] = None,
    limit: Limit = None,
) -> None:
    """Print what was found in a completed run."""
    told = session(context)
    line = Renderer(told.out, told.texts).result
    with told.client() as client:
        found = client.results(
            validation_id,
            rule_ids=rule or [],
            severities=[word.value_of_client for word in severity or []],
            categories=category or [],
            scenarios=scenario or [],
            doctor_key=doctor,
            service_date_from=day_text("--from", since),
            service_date_to=day_text("--to", until),
            page_size=page_size(limit),
        )
        told.print_each(found, line, nothing="summary.nothing_found", most=limit)


def rejects(
    context: typer.Context,
    validation_id: Annotated[str, typer.Argument(help="help.id", metavar="metavar.id")],
) -> None:
    """Print the lines of a completed run that could not be read."""
    told = session(context)
    line = Renderer(told.out, told.texts).rejected
    with told.client() as client:
        told.print_each(client.rejects(validation_id), line, nothing="rejects.empty")
