"""`facnet submit` and `facnet watch`: hand files over, and follow runs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, cast
from uuid import uuid4

import typer

from facnet_cli.batch import follow_batch
from facnet_cli.choices import PriorityWord, labels
from facnet_cli.exits import ExitCode
from facnet_cli.follow import conclude, follow
from facnet_cli.output import print_json, printable
from facnet_cli.problem import Problem
from facnet_cli.progress import Bars
from facnet_cli.run import show_update
from facnet_cli.session import Session, session
from facnet_client.client import FacnetClient
from facnet_client.errors import FacnetError, Unavailable
from facnet_client.values import Submission, Update


def submit(  # noqa: PLR0913 - the options of an upload are what they are
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="help.submit.files", metavar="metavar.file")],
    *,
    watch: Annotated[bool, typer.Option("--watch", help="help.submit.watch")] = False,
    name: Annotated[str | None, typer.Option(help="help.submit.name", metavar="metavar.name")] = None,
    batch: Annotated[str, typer.Option(help="help.submit.batch", metavar="metavar.name", show_default=False)] = "",
    priority: Annotated[
        PriorityWord, typer.Option(help="help.submit.priority", case_sensitive=False)
    ] = PriorityWord.NORMAL,
    label: Annotated[list[str] | None, typer.Option(help="help.submit.label", metavar="metavar.label")] = None,
    rule: Annotated[list[str] | None, typer.Option(help="help.submit.rule", metavar="metavar.rule")] = None,
    key: Annotated[str | None, typer.Option("--idempotency-key", help="help.submit.key", metavar="metavar.key")] = None,
    webhook: Annotated[str, typer.Option(help="help.submit.webhook", metavar="metavar.url", show_default=False)] = "",
    resume: Annotated[str | None, typer.Option(help="help.submit.resume", metavar="metavar.id")] = None,
) -> None:
    """Hand files over; with `--watch`, follow each to its end."""
    told = session(context)
    if len(files) > 1 and (name or key or resume):
        raise Problem("one_file", ExitCode.USAGE)
    options: dict[str, object] = {
        "batch_id": batch,
        "priority": priority.value_of_client,
        "labels": labels(label or []),
        "rule_ids": rule or [],
        "file_name": name,
        "idempotency_key": key,
        "webhook_url": webhook,
        "upload_id": resume,
    }
    with told.client() as client:
        together = watch and bool(batch) and len(files) > 1
        codes = [_submit_one(told, client, file, options, watch=watch and not together) for file in files]
        if together and ExitCode.OK in codes:
            codes.append(follow_batch(told, client, batch))
    if any(codes):
        raise typer.Exit(max(codes))


def watch(
    context: typer.Context,
    validation_id: Annotated[str | None, typer.Argument(help="help.id", metavar="metavar.id")] = None,
    *,
    batch: Annotated[str, typer.Option(help="help.watch.batch", metavar="metavar.name", show_default=False)] = "",
) -> None:
    """Follow a run, or a batch, to its end."""
    told = session(context)
    if bool(validation_id) is bool(batch):
        raise Problem("run_or_batch", ExitCode.USAGE)
    with told.client() as client:
        if validation_id:
            with Bars(told.texts) as bars:
                end = follow(client, validation_id, lambda update: show_update(told, bars, update), bars.broken)
            code = _tell_end(told, end)
        else:
            code = follow_batch(told, client, batch, lambda bars, update: show_update(told, bars, update))
    if code is not ExitCode.OK:
        raise typer.Exit(code)


def _submit_one(told: Session, client: FacnetClient, file: Path, options: dict[str, object], *, watch: bool) -> int:
    """Submit one of several files: what is wrong with it does not keep the others from being sent."""
    try:
        return _submit(told, client, file, options, watch=watch)
    except BrokenPipeError:
        raise
    except OSError as error:
        return told.reporter.file(error)
    except Unavailable:
        raise
    except FacnetError as error:
        return told.reporter.call(error)


def _submit(told: Session, client: FacnetClient, file: Path, options: dict[str, object], *, watch: bool) -> ExitCode:
    source = _stdin() if str(file) == "-" else file
    with Bars(told.texts) as bars:
        with _resumable(told, file, options, bars) as upload_id:
            submitted = client.submit(
                source,
                on_progress=bars.upload,
                on_break=bars.broken,
                **options | {"upload_id": upload_id},  # type: ignore[arg-type]  # as made above
            )
        if watch:
            end = _follow(told, client, submitted.validation_id, bars)
    if not watch:
        _tell_submitted(told, file, submitted)
        return ExitCode.OK
    if told.as_json:
        run = client.get(submitted.validation_id)
        print_json({"file": printable(str(file)), "validation": run})
        return conclude(told, end)
    return _tell_end(told, end, file)


def _stdin() -> BinaryIO:
    """Return standard input without its buffer, whose lock a thread that still reads would hold at the end."""
    buffer = sys.stdin.buffer
    return cast("BinaryIO", getattr(buffer, "raw", buffer))


@contextmanager
def _resumable(told: Session, file: Path, options: Mapping[str, object], bars: Bars) -> Iterator[str]:
    """Give the upload an id, and say how to go on with it if it is interrupted or breaks for good."""
    upload_id = str(options["upload_id"] or uuid4())
    server = ["--server", told.server] if told.server else []
    command = shlex.join(["facnet", *server, "submit", "--resume", upload_id, str(file)])
    try:
        yield upload_id
    except KeyboardInterrupt:
        raise Problem("upload_interrupted", ExitCode.INTERRUPTED, id=upload_id, command=command) from None
    except Unavailable:
        if not bars.has_sent:
            raise
        raise Problem("upload_broken", ExitCode.UNREACHABLE, id=upload_id, command=command) from None


def _follow(told: Session, client: FacnetClient, validation_id: str, bars: Bars) -> Update:
    try:
        return follow(client, validation_id, bars.run, bars.broken)
    except KeyboardInterrupt:
        server = ["--server", told.server] if told.server else []
        command = shlex.join(["facnet", *server, "watch", validation_id])
        raise Problem("watch_interrupted", ExitCode.INTERRUPTED, id=validation_id, command=command) from None


def _tell_submitted(told: Session, file: Path, submitted: Submission) -> None:
    name = printable(str(file))
    if told.as_json:
        identity = {"validation_id": submitted.validation_id, "job_id": submitted.job_id, "status": submitted.status}
        print_json({"file": name, **identity})
        return
    told.out.print(told.texts("submit.accepted", name=name, id=submitted.validation_id))


def _tell_end(told: Session, end: Update, file: Path | None = None) -> ExitCode:
    """Print how a run ended: on one line, and its error on standard error."""
    if not told.as_json:
        counts = end.result_counts
        status = told.texts(f"status.{end.status.value}")
        found = sum((counts.error, counts.warning, counts.optimization, counts.info))
        line = told.texts.count("watch.ended", found, id=end.validation_id, status=status)
        told.out.print(f"{printable(str(file))}: {line}" if file else line)
    return conclude(told, end)
