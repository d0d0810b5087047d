"""`facnet export`: all results or lines of a run as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facnet_cli.exits import ExitCode
from facnet_cli.output import print_json, printable
from facnet_cli.problem import Problem
from facnet_cli.progress import Bars
from facnet_cli.session import session
from facnet_client.values import ExportFormat


def export(
    context: typer.Context,
    validation_id: Annotated[str, typer.Argument(help="help.id", metavar="metavar.id")],
    out: Annotated[Path, typer.Argument(help="help.export.out", metavar="metavar.out", show_default=False)],
    *,
    records: Annotated[bool, typer.Option("--records", help="help.export.records")] = False,
    form: Annotated[
        ExportFormat | None, typer.Option("--format", help="help.export.format", case_sensitive=False)
    ] = None,
) -> None:
    """Write all results, or lines, of a completed run to a file."""
    told = session(context)
    wanted = form or _format_of(out)
    with told.client() as client, Bars(told.texts) as bars:
        rows = client.export(validation_id, out, file_format=wanted, records=records, on_rows=bars.rows)
    if not out.is_file():
        return  # it went into a pipe, where nothing else belongs
    if told.as_json:
        print_json({"file": printable(str(out)), "format": wanted, "rows": rows, "bytes": out.stat().st_size})
    else:
        told.out.print(told.texts.count("export.written", rows, name=printable(str(out))))


def _format_of(out: Path) -> ExportFormat:
    ending = out.suffix.removeprefix(".").lower()
    if ending not in {form.value for form in ExportFormat}:
        known = ", ".join(f".{form.value}" for form in ExportFormat)
        raise Problem("export_format", ExitCode.USAGE, name=printable(out.name), known=known)
    return ExportFormat(ending)
