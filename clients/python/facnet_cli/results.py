"""`facnet results`, `rejects`, `records`, `logs`, `export` and `revalidate`: what a run has produced."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facnet_cli import views
from facnet_cli.columns import LOG_ENTRIES, RECORDS, REJECTED, RESULTS
from facnet_cli.errors import ExitCode, Problem
from facnet_cli.options import Category, Id, LevelWord, Limit, SeverityWord, day_text, page_size
from facnet_cli.progress import Bars
from facnet_cli.session import get_session
from facnet_cli.texts import printable
from facnet_client.values import ExportFormat, LogLevel, RevalidationSummary, Severity


def results(  # noqa: PLR0913 - one for each option
    context: typer.Context,
    validation_id: Id,
    *,
    rule: Annotated[list[str] | None, typer.Option(help="help.results.rule", metavar="metavar.rule")] = None,
    severity: Annotated[
        list[SeverityWord] | None, typer.Option(help="help.results.severity", case_sensitive=False)
    ] = None,
    category: Category = None,
    scenario: Annotated[list[str] | None, typer.Option(help="help.results.scenario", metavar="metavar.name")] = None,
    doctor: Annotated[str, typer.Option(help="help.results.doctor", metavar="metavar.key", show_default=False)] = "",
    since: Annotated[str | None, typer.Option("--from", help="help.results.from", metavar="metavar.day")] = None,
    until: Annotated[str | None, typer.Option("--to", help="help.results.to", metavar="metavar.day")] = None,
    limit: Limit = None,
) -> None:
    """Print the results of a completed run."""
    session = get_session(context)
    with session.client() as client:
        found = client.results(
            validation_id,
            rule_ids=rule or [],
            severities=[Severity[word.upper()] for word in severity or []],
            categories=category or [],
            scenarios=scenario or [],
            doctor_key=doctor,
            service_date_from=day_text("--from", since),
            service_date_to=day_text("--to", until),
            page_size=page_size(limit),
        )
        session.print_rows(found, RESULTS, empty="summary.nothing_found", limit=limit, details=views.message)


def rejects(context: typer.Context, validation_id: Id) -> None:
    """Print the rejected lines of a completed run."""
    session = get_session(context)
    with session.client() as client:
        session.print_rows(client.rejects(validation_id), REJECTED, empty="rejects.empty")


def records(
    context: typer.Context,
    validation_id: Id,
    *,
    line: Annotated[list[int] | None, typer.Option(help="help.records.line", metavar="metavar.number", min=1)] = None,
    limit: Limit = None,
) -> None:
    """Print the lines of a completed run."""
    session = get_session(context)
    with session.client() as client:
        found = client.records(validation_id, record_numbers=line or [], page_size=page_size(limit))
        session.print_rows(found, RECORDS, empty="records.empty", limit=limit)


def logs(
    context: typer.Context,
    validation_id: Id,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="help.logs.follow")] = False,
    level: Annotated[LevelWord, typer.Option(help="help.logs.level", case_sensitive=False)] = "debug",
    source: Annotated[str, typer.Option(help="help.logs.source", metavar="metavar.name", show_default=False)] = "",
) -> None:
    """Print the log of a run."""
    session = get_session(context)
    with session.client() as client:
        entries = client.logs(validation_id, min_level=LogLevel[level.upper()], source=source, follow=follow)
        session.print_rows(entries, LOG_ENTRIES, empty="logs.empty", flush=follow)


def export(
    context: typer.Context,
    validation_id: Id,
    out: Annotated[Path, typer.Argument(help="help.export.out", metavar="metavar.out", show_default=False)],
    *,
    records: Annotated[bool, typer.Option("--records", help="help.export.records")] = False,
    form: Annotated[
        ExportFormat | None, typer.Option("--format", help="help.export.format", case_sensitive=False)
    ] = None,
) -> None:
    """Write all results, or lines, of a completed run to a file."""
    session = get_session(context)
    wanted = form or _format_of(out)
    with session.client() as client, Bars(session.texts, session.system) as bars:
        rows = client.export(validation_id, out, file_format=wanted, records=records, on_rows=bars.rows)
    if out.is_file():  # a pipe gets the data alone
        name = printable(str(out))
        data = {"file": name, "format": wanted, "rows": rows, "bytes": out.stat().st_size}
        session.answer(data, [session.texts.count("export.written", rows, name=name)])


def revalidate(context: typer.Context, validation_id: Id) -> None:
    """Print the results that today's rules would add, remove or change, and then how many."""
    session = get_session(context)
    with session.client() as client:
        for message in client.revalidate(validation_id):
            if isinstance(message, RevalidationSummary):
                session.answer({"summary": message}, views.revalidation(message, session.texts))
            else:
                session.answer({"change": message}, views.change(message, session.texts))


def _format_of(out: Path) -> ExportFormat:
    ending = out.suffix.removeprefix(".").lower()
    if ending not in {form.value for form in ExportFormat}:
        known = ", ".join(f".{form.value}" for form in ExportFormat)
        raise Problem("export_format", ExitCode.USAGE, name=printable(out.name), known=known)
    return ExportFormat(ending)
