"""What leaves the program: text for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NoReturn
from unicodedata import category

from rich.console import Console

# Where nobody looks at the width of a line, no line is cut.
_ENDLESS = 10_000


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the one place that knows what to do."""
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """Return a console that takes text as it is; plain and without end of line if nobody is looking."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _ENDLESS
    return _Console(file=stream, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def printable(text: str) -> str:
    """Return `text` without control characters: file names come from anywhere and end up in terminals.

    Spaces of every width stay: French is full of unbreakable ones.
    """
    return "".join(char if _is_harmless(char) else "\N{REPLACEMENT CHARACTER}" for char in text)


def _is_harmless(char: str) -> bool:
    return char.isprintable() or category(char) == "Zs"


def plain(value: Any) -> Any:
    """Return a value of the client as JSON knows it: fields in their order, moments as RFC 3339."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def to_json(value: Any) -> str:
    """Return one line of JSON, with its letters as they are."""
    return json.dumps(plain(value), ensure_ascii=False)


def print_json(value: Any) -> None:
    """Print one line of JSON on standard output."""
    sys.stdout.write(to_json(value) + "\n")
