"""`facnet top`: workers, queue, runs in progress and throughput of the service."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from facnet_cli.columns import QUEUES, active_jobs, workers
from facnet_cli.output import print_json
from facnet_cli.session import Session, get_session
from facnet_cli.tables import table
from facnet_cli.texts import Texts, printable
from facnet_client.client import FacnetClient
from facnet_client.errors import FacnetError
from facnet_client.operations import JobTimes, QueueStats

QUIT = "q"
_MAX_OWNERS = 10
_MAX_ACTIVE = 20


def top(
    context: typer.Context,
    *,
    once: Annotated[bool, typer.Option("--once", help="help.top.once")] = False,
    every: Annotated[float, typer.Option(help="help.top.every", metavar="metavar.number", min=0.1)] = 2.0,
) -> None:
    """Show the state of the service until q or Ctrl-C; once if the output is not a terminal."""
    session = get_session(context)
    with session.client() as client, suppress(KeyboardInterrupt):
        if session.as_json:
            _stream(session, client, every, once=once)
        elif once or not session.system.is_terminal(sys.stdout):
            session.print(dashboard(client.operations.stats(), session.texts))
        else:
            _live(session, client, every)


def _stream(session: Session, client: FacnetClient, every: float, *, once: bool) -> None:
    while True:
        print_json(client.operations.stats())
        if once:
            return
        sys.stdout.flush()
        session.system.sleep(every)


def _live(session: Session, client: FacnetClient, every: float) -> None:
    stats = client.operations.stats()
    screen = Live(_screen(stats, session.texts), console=session.out, screen=True, auto_refresh=False)
    with screen, session.system.keyboard() as read_key:
        while read_key(every).lower() != QUIT:
            note = ""
            try:
                stats = client.operations.stats()
            except FacnetError as error:
                if not error.is_retryable:
                    raise
                note = error.message
            screen.update(_screen(stats, session.texts, note), refresh=True)


def _screen(stats: QueueStats, texts: Texts, note: str = "") -> Group:
    return Group(*dashboard(stats, texts, note))


def dashboard(stats: QueueStats, texts: Texts, note: str = "") -> Iterator[RenderableType]:
    """Yield the state of the service from top to bottom; `note` says why it is not up to date."""
    yield Text.assemble(("facnet top", "bold"), f"  {stats.time.astimezone():%Y-%m-%d %H:%M:%S}")
    if note:
        yield Text(printable(note), style="yellow")
    yield _throughput(texts.count("top.recent", round(stats.recent_seconds / 60)), stats.recent, texts)
    yield _throughput(texts("top.day"), stats.day, texts)
    kinds = [(texts(f"top.kind.{kind.value}"), counts) for kind, counts in stats.queues.items()]
    priorities = [
        (f"  {texts(f'top.priority.{priority.value.lower()}')}", counts)
        for priority, counts in stats.priorities.items()
    ]
    owners = list(stats.owners.items())[:_MAX_OWNERS]
    yield table(QUEUES, texts, kinds + priorities, owners, edge=True)
    if stats.workers:
        yield table(workers(stats.time), texts, stats.workers, edge=True)
    else:
        yield Text(texts("top.no_worker"), style="red")
    if stats.active_jobs:
        yield table(active_jobs(stats.time), texts, stats.active_jobs[:_MAX_ACTIVE], edge=True)


def _throughput(period: str, times: JobTimes, texts: Texts) -> Text:
    parts = [
        texts.count("top.completed", times.completed),
        texts.count("top.failed", times.failed),
        texts.count("bar.rows", times.rows),
        texts.size(times.bytes),
    ]
    for key, seconds in (("top.wait", times.mean_wait_seconds), ("top.work", times.mean_work_seconds)):
        if seconds is not None:
            parts.append(texts(key, time=texts.duration(seconds)))
    return Text.assemble((f"{period} ", "dim"), " · ".join(parts))
