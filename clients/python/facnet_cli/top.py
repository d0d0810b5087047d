"""`facnet top`: the service at work, for those who keep it running."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Annotated

import typer
from rich.live import Live

from facnet_cli.keyboard import Keyboard
from facnet_cli.output import print_json
from facnet_cli.session import Session, session
from facnet_cli.top_screen import Screen
from facnet_client.client import FacnetClient
from facnet_client.errors import FacnetError

QUIT = "q"


def top(
    context: typer.Context,
    *,
    once: Annotated[bool, typer.Option("--once", help="help.top.once")] = False,
    every: Annotated[float, typer.Option(help="help.top.every", metavar="metavar.number", min=0.1)] = 2.0,
) -> None:
    """Show workers, queue, runs in progress and throughput, until q or Ctrl-C; once if nobody is looking."""
    told = session(context)
    with told.client() as client, suppress(KeyboardInterrupt):
        if told.as_json:
            _stream(client, every, once=once)
        elif once or not sys.stdout.isatty():
            told.out.print(Screen(told.texts).render(client.operations.stats()))
        else:
            _live(told, client, every)


def _stream(client: FacnetClient, every: float, *, once: bool) -> None:
    while True:
        print_json(client.operations.stats())
        if once:
            return
        sys.stdout.flush()
        time.sleep(every)


def _live(told: Session, client: FacnetClient, every: float) -> None:
    screen = Screen(told.texts)
    stats = client.operations.stats()
    shown = Live(screen.render(stats), console=told.out, screen=True, auto_refresh=False)
    with shown, Keyboard() as keyboard:
        while keyboard.pressed(every).lower() != QUIT:
            note = ""
            try:
                stats = client.operations.stats()
            except FacnetError as error:  # it may be back in a moment
                if not error.is_retryable:
                    raise
                note = error.message
            shown.update(screen.render(stats, note), refresh=True)
