"""`facnet run`, `facnet submit` and `facnet watch`: send files and follow runs to their end."""

from __future__ import annotations

import heapq
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, cast
from uuid import uuid4

import typer

from facnet_cli import views
from facnet_cli.columns import status
from facnet_cli.errors import ExitCode, Problem
from facnet_cli.local import embedded_stack
from facnet_cli.options import PriorityWord, labels
from facnet_cli.output import print_json, to_json
from facnet_cli.progress import Bars
from facnet_cli.runs import figures, print_batch, rejection_texts
from facnet_cli.session import Session, get_session
from facnet_cli.texts import printable
from facnet_client.client import FacnetClient
from facnet_client.errors import FacnetError, Unavailable
from facnet_client.export import atomic_write
from facnet_client.values import Priority, Result, Status, Update
from facnet_client.watch import OnBreak

MOST_EXPENSIVE = 10  # findings that `facnet run` prints


def run(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="help.run.file", metavar="metavar.file", show_default=False)],
    results: Annotated[Path | None, typer.Option(help="help.run.results", metavar="metavar.out")] = None,
) -> None:
    """Check one file, on a server or on an embedded stack, and print what was found."""
    session = get_session(context)
    with file.open("rb"):  # fail before a stack is started
        pass
    with Bars(session.texts, session.system) as bars:
        server = nullcontext(session.server) if session.server else _started_stack(session, bars)
        with server as target, session.client(target) as client:
            submitted = client.submit(file, on_progress=bars.upload, on_break=bars.broken)
            end = follow(client, submitted.validation_id, bars.run, bars.broken)
            code = conclude(session, end)
            if code is ExitCode.OK:
                summary = client.summary(end.validation_id)
                expensive = _read_results(client, end.validation_id, results)
                reasons = rejection_texts(client, summary)
            elif session.as_json:
                print_json({"validation": client.get(end.validation_id)})
    if code is not ExitCode.OK:
        raise typer.Exit(code)
    data = {
        "validation": summary.validation,
        "summary": figures(summary),
        "dearest": expensive,
        "results_file": str(results) if results else None,
    }
    session.answer(data, views.summary(summary, reasons, session.texts))
    if not session.as_json:
        session.print(views.most_expensive(expensive, session.texts))
        if results:
            session.say("run.written", name=results)


def submit(  # noqa: PLR0913 - one for each option
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="help.submit.files", metavar="metavar.file")],
    *,
    watch: Annotated[bool, typer.Option("--watch", help="help.submit.watch")] = False,
    name: Annotated[str | None, typer.Option(help="help.submit.name", metavar="metavar.name")] = None,
    batch: Annotated[str, typer.Option(help="help.submit.batch", metavar="metavar.name", show_default=False)] = "",
    priority: Annotated[PriorityWord, typer.Option(help="help.submit.priority", case_sensitive=False)] = "normal",
    label: Annotated[list[str] | None, typer.Option(help="help.submit.label", metavar="metavar.label")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="help.submit.rule", metavar="metavar.rule")] = None,
    key: Annotated[str | None, typer.Option("--idempotency-key", help="help.submit.key", metavar="metavar.key")] = None,
    webhook: Annotated[str, typer.Option(help="help.submit.webhook", metavar="metavar.url", show_default=False)] = "",
    resume: Annotated[str | None, typer.Option(help="help.submit.resume", metavar="metavar.id")] = None,
) -> None:
    """Submit files; with `--watch`, follow each to its end."""
    session = get_session(context)
    if len(files) > 1 and (name or key or resume):
        raise Problem("one_file", ExitCode.USAGE)
    options: dict[str, object] = {
        "batch_id": batch,
        "priority": Priority[priority.upper()],
        "labels": labels(label or []),
        "rule_ids": rule or [],
        "file_name": name,
        "idempotency_key": key,
        "webhook_url": webhook,
        "upload_id": resume,
    }
    with session.client() as client:
        as_batch = watch and bool(batch) and len(files) > 1
        codes = [_submit_file(session, client, file, options, watch=watch and not as_batch) for file in files]
        if as_batch and ExitCode.OK in codes:
            codes.append(_follow_batch(session, client, batch, Bars.run))
    if any(codes):
        raise typer.Exit(max(codes))


def watch(
    context: typer.Context,
    validation_id: Annotated[str | None, typer.Argument(help="help.id", metavar="metavar.id")] = None,
    *,
    batch: Annotated[str, typer.Option(help="help.watch.batch", metavar="metavar.name", show_default=False)] = "",
) -> None:
    """Follow a run, or a batch, to its end."""
    session = get_session(context)
    if bool(validation_id) is bool(batch):
        raise Problem("run_or_batch", ExitCode.USAGE)

    def show(bars: Bars, update: Update) -> None:
        print_json(update) if session.as_json else bars.run(update)

    with session.client() as client:
        if validation_id:
            with Bars(session.texts, session.system) as bars:
                end = follow(client, validation_id, partial(show, bars), bars.broken)
            code = _print_end(session, end)
        else:
            code = _follow_batch(session, client, batch, show)
    if code is not ExitCode.OK:
        raise typer.Exit(code)


def follow(
    client: FacnetClient,
    validation_id: str,
    show: Callable[[Update], None],
    on_break: OnBreak | None = None,
) -> Update:
    """Show every update of a run and return the terminal one. Raises `FacnetError`."""
    last: Update | None = None
    for last in client.watch(validation_id, on_break=on_break):
        show(last)
    if last is None:  # a watch ends with a terminal state or with an error
        raise Problem("bug", ExitCode.BUG, kind="EmptyWatch")
    return last


def conclude(session: Session, end: Update) -> ExitCode:
    """Report why a run failed or was cancelled, if it was, and return the exit code."""
    if end.status is Status.COMPLETED:
        return ExitCode.OK
    if end.error is not None:
        return session.reporter.run_failed(end.error)
    if end.status is Status.CANCELLED:
        session.reporter.report(Problem("cancelled", ExitCode.RUN_FAILED))
    return ExitCode.RUN_FAILED


@contextmanager
def _started_stack(session: Session, bars: Bars) -> Iterator[str]:
    bars.starting()
    with embedded_stack(session.system, session.texts.language, bars.say) as target:
        yield target


def _read_results(client: FacnetClient, validation_id: str, path: Path | None) -> list[Result]:
    """Write all results to `path`, if given, and return the most expensive: in one pass and in constant memory."""
    if path is None:
        return _most_expensive(client.results(validation_id))
    with atomic_write(path) as file:
        return _most_expensive(_written(client.results(validation_id), file))


def _most_expensive(results: Iterable[Result]) -> list[Result]:
    return [result for result in heapq.nlargest(MOST_EXPENSIVE, results, key=_amount) if _amount(result)]


def _amount(result: Result) -> int:
    return result.at_risk_cents + result.potential_gain_cents


def _written(results: Iterable[Result], file: BinaryIO) -> Iterator[Result]:
    for result in results:
        file.write(f"{to_json(result)}\n".encode())
        yield result


def _follow_batch(session: Session, client: FacnetClient, name: str, show: Callable[[Bars, Update], None]) -> ExitCode:
    """Follow a batch to its end, print it, and return the exit code."""
    with Bars(session.texts, session.system) as bars:
        for update in client.watch_batch(name, bars.broken):
            show(bars, update)
    return print_batch(session, client, name, duplicates=True)


def _submit_file(session: Session, client: FacnetClient, file: Path, options: dict[str, object], *, watch: bool) -> int:
    """Submit one of several files: an error about it is reported, and the others are submitted all the same."""
    try:
        return _submit(session, client, file, options, watch=watch)
    except (BrokenPipeError, Unavailable):
        raise
    except (OSError, FacnetError) as error:
        return session.reporter.report(error)


def _submit(session: Session, client: FacnetClient, file: Path, options: dict[str, object], *, watch: bool) -> ExitCode:
    source = _stdin() if str(file) == "-" else file
    name = printable(str(file))
    with Bars(session.texts, session.system) as bars:
        with _resumable(session, file, options, bars) as upload_id:
            submitted = client.submit(
                source,
                on_progress=bars.upload,
                on_break=bars.broken,
                **options | {"upload_id": upload_id},  # type: ignore[arg-type]  # as made in `submit`
            )
        run_id = submitted.validation_id
        if watch:
            end = _follow(session, client, run_id, bars)
    if not watch:
        data = {"file": name, "validation_id": run_id, "job_id": submitted.job_id, "status": submitted.status}
        session.answer(data, [session.texts("submit.accepted", name=name, id=run_id)])
        return ExitCode.OK
    if session.as_json:
        print_json({"file": name, "validation": client.get(run_id)})
        return conclude(session, end)
    return _print_end(session, end, f"{name}: ")


def _stdin() -> BinaryIO:
    """Return standard input without its buffer: a thread that still reads would hold the buffer's lock at exit."""
    buffer = sys.stdin.buffer
    return cast("BinaryIO", getattr(buffer, "raw", buffer))


@contextmanager
def _resumable(session: Session, file: Path, options: Mapping[str, object], bars: Bars) -> Iterator[str]:
    """Give the upload an id, and if it is interrupted or fails, print the command that resumes it."""
    upload_id = str(options["upload_id"] or uuid4())
    command = _command_line(session, "submit", "--resume", upload_id, str(file))
    try:
        yield upload_id
    except KeyboardInterrupt:
        raise Problem("upload_interrupted", ExitCode.INTERRUPTED, id=upload_id, command=command) from None
    except Unavailable:
        if not bars.has_sent:
            raise
        raise Problem("upload_broken", ExitCode.UNREACHABLE, id=upload_id, command=command) from None


def _follow(session: Session, client: FacnetClient, validation_id: str, bars: Bars) -> Update:
    try:
        return follow(client, validation_id, bars.run, bars.broken)
    except KeyboardInterrupt:
        command = _command_line(session, "watch", validation_id)
        raise Problem("watch_interrupted", ExitCode.INTERRUPTED, id=validation_id, command=command) from None


def _command_line(session: Session, *words: str) -> str:
    server = ["--server", session.server] if session.server else []
    return shlex.join(["facnet", *server, *words])


def _print_end(session: Session, end: Update, prefix: str = "") -> ExitCode:
    """Print on one line how a run ended, and its error on standard error."""
    if not session.as_json:
        counts = end.result_counts
        found = sum((counts.error, counts.warning, counts.optimization, counts.info))
        ended = status(end.status, session.texts)
        session.print([prefix + session.texts.count("watch.ended", found, id=end.validation_id, status=ended)])
    return conclude(session, end)
