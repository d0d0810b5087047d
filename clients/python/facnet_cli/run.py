"""`facnet run`: check one file from end to end, on a server or on a stack of one's own."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from facnet_cli.exits import ExitCode
from facnet_cli.follow import conclude, follow
from facnet_cli.output import print_json, to_json
from facnet_cli.progress import Bars
from facnet_cli.render import Renderer
from facnet_cli.session import Session, session
from facnet_cli.stack import embedded_stack
from facnet_client.client import FacnetClient
from facnet_client.export import atomic_write
from facnet_client.values import Result, Summary, Update

DEAREST = 10


def run(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="help.run.file", metavar="metavar.file", show_default=False)],
    results: Annotated[Path | None, typer.Option(help="help.run.results", metavar="metavar.out")] = None,
) -> None:
    """Check one file from end to end and print what was found."""
    told = session(context)
    with file.open("rb"):  # before a server is started for nothing
        pass
    code = _run(told, file, results)
    if code is not ExitCode.OK:
        raise typer.Exit(code)


def _run(told: Session, file: Path, results: Path | None) -> ExitCode:
    with Bars(told.texts) as bars:
        if told.server is None:
            bars.starting()
        server = embedded_stack(told.texts.language, bars.say) if told.server is None else nullcontext(told.server)
        with server as target, told.client(target) as client:
            submitted = client.submit(file, on_progress=bars.upload, on_break=bars.broken)
            end = follow(client, submitted.validation_id, bars.run, bars.broken)
            code = conclude(told, end)
            if code is ExitCode.OK:
                summary = client.summary(end.validation_id)
                dearest = _collect(client, end.validation_id, results)
                reasons = rejection_texts(client, summary)
            elif told.as_json:
                print_json({"validation": client.get(end.validation_id)})
    if code is ExitCode.OK:
        _show(told, summary, dearest, reasons, results)
    return code


def _show(
    told: Session,
    summary: Summary,
    dearest: list[Result],
    reasons: dict[tuple[str, str], str],
    results: Path | None,
) -> None:
    if told.as_json:
        written = str(results) if results else None
        print_json(
            {"validation": summary.validation, "summary": figures(summary), "dearest": dearest, "results_file": written}
        )
        return
    renderer = Renderer(told.out, told.texts)
    renderer.summary(summary, reasons)
    renderer.dearest(dearest)
    if results:
        told.out.print(told.texts("run.written", name=str(results)))


def figures(summary: Summary) -> dict[str, object]:
    """Return a summary as JSON shows it beside its run: without the run."""
    names = [name for name in Summary.__dataclass_fields__ if name != "validation"]
    return {name: getattr(summary, name) for name in names}


def rejection_texts(client: FacnetClient, summary: Summary) -> dict[tuple[str, str], str]:
    """Return the text of each kind of rejection, by reason and column, in the client's language."""
    if not summary.rejections:
        return {}
    rows = client.rejects(summary.validation.validation_id)
    return {(row.reason, row.column): row.message for row in rows}


def _collect(client: FacnetClient, validation_id: str, path: Path | None) -> list[Result]:
    """Write all results, if wanted, and return the dearest, in one pass and constant memory."""
    if path is None:
        return _dearest(client.results(validation_id))
    with atomic_write(path) as file:
        return _dearest(_written(client.results(validation_id), file))


def _dearest(results: Iterable[Result]) -> list[Result]:
    found = heapq.nlargest(DEAREST, results, key=_money)
    return [result for result in found if _money(result)]


def _money(result: Result) -> int:
    return result.at_risk_cents + result.potential_gain_cents


def _written(results: Iterable[Result], file: BinaryIO) -> Iterator[Result]:
    for result in results:
        file.write(f"{to_json(result)}\n".encode())
        yield result


def show_update(told: Session, bars: Bars, update: Update) -> None:
    """Show one state of a run: a line of JSON, or a bar."""
    if told.as_json:
        print_json(update)
    else:
        bars.run(update)
