"""Options of lists, which several commands have, and what follows from them."""

from __future__ import annotations

from typing import Annotated

import typer

from facnet_client.results import LARGEST_PAGE

Since = Annotated[str | None, typer.Option("--from", help="help.list.from", metavar="metavar.day")]
Before = Annotated[str | None, typer.Option("--before", help="help.list.before", metavar="metavar.day")]
Limit = Annotated[int | None, typer.Option(help="help.limit", metavar="metavar.number", min=1)]
Everything = Annotated[bool, typer.Option("--all", help="help.list.all")]

LISTED = 50  # rows, unless one says otherwise


def page_size(limit: int | None) -> int:
    """Return how many rows are asked for at once where `limit` are wanted; None: all."""
    return min(limit or LARGEST_PAGE, LARGEST_PAGE)
