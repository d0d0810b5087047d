"""What the program prints: consoles for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NoReturn, TextIO

from rich.console import Console

# The width of a line where the output is not a terminal: lines are not wrapped there.
_UNLIMITED_WIDTH = 10_000


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Raise instead of exiting: the root command handles it."""
        raise BrokenPipeError


def console(stream: TextIO) -> Console:
    """Return a console that prints text without interpreting markup, and without colours or wrapping into a pipe."""
    width = None if stream.isatty() else _UNLIMITED_WIDTH
    return _Console(file=stream, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def plain(value: Any) -> Any:
    """Return a value of the client as JSON types: fields in their order, times as RFC 3339 in UTC."""
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
    """Return one line of JSON; letters outside ASCII are not escaped."""
    return json.dumps(plain(value), ensure_ascii=False)


def print_json(value: Any) -> None:
    """Print one line of JSON on standard output."""
    sys.stdout.write(to_json(value) + "\n")
