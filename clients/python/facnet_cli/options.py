"""Options that several commands share, the words that options accept, and how their values are read."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

import typer

from facnet_cli.errors import ExitCode, Problem
from facnet_cli.texts import printable

DEFAULT_SERVER = "127.0.0.1:50051"
DEFAULT_LIMIT = 50  # rows of a list
_LARGEST_PAGE = 1000

# Words of options are in small letters; the client's enumerations have the same names.
LevelWord = Literal["debug", "info", "warning", "error"]
PriorityWord = Literal["low", "normal", "high"]
# Options that may be repeated take enumerations only.
SeverityWord = StrEnum("SeverityWord", "ERROR WARNING OPTIMIZATION INFO")
StatusWord = StrEnum("StatusWord", "QUEUED PROCESSING COMPLETED FAILED CANCELLED")

Id = Annotated[str, typer.Argument(help="help.id", metavar="metavar.id")]
Since = Annotated[str | None, typer.Option("--from", help="help.list.from", metavar="metavar.day")]
Before = Annotated[str | None, typer.Option("--before", help="help.list.before", metavar="metavar.day")]
Limit = Annotated[int | None, typer.Option(help="help.limit", metavar="metavar.number", min=1)]
Everything = Annotated[bool, typer.Option("--all", help="help.list.all")]
Category = Annotated[list[str] | None, typer.Option(help="help.results.category", metavar="metavar.name")]


def page_size(limit: int | None) -> int:
    """Return how many rows to ask for at once if `limit` are wanted; None means all."""
    return min(limit or _LARGEST_PAGE, _LARGEST_PAGE)


def labels(pairs: list[str]) -> dict[str, str]:
    """Read `key=value` pairs. Raises `Problem`."""
    split = [pair.partition("=") for pair in pairs]
    if any(not separator or not key for key, separator, _ in split):
        raise Problem("label", ExitCode.USAGE)
    return {key: value for key, _, value in split}


def day(option: str, text: str | None) -> datetime | None:
    """Read a day, YYYY-MM-DD, as its first moment in the local time zone. Raises `Problem`."""
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").astimezone()
    except ValueError:
        raise Problem("day", ExitCode.USAGE, option=option, given=printable(text)) from None


def day_text(option: str, text: str | None) -> str:
    """Return `text` if it is a day, and an empty string for None. Raises `Problem`."""
    day(option, text)
    return text or ""
