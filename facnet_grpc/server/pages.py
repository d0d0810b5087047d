"""Cuts lists into pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

MAX_BYTES = 1 << 20  # a page ends early rather than growing past what clients take

Row = TypeVar("Row")
Written = TypeVar("Written", bound=Message)


def cut(
    rows: Sequence[Row],
    size: int,
    write: Callable[[Row], Written],
    token: Callable[[Row], str],
) -> tuple[list[Written], str]:
    """Write at most `size` rows, of which one more was read to see whether there is more.

    Returns the page and the token of the next one, empty on the last.
    """
    written: list[Written] = []
    room = MAX_BYTES
    for row in rows[:size]:
        message = write(row)
        room -= message.ByteSize()
        if room < 0 and written:
            break
        written.append(message)
    return written, token(rows[len(written) - 1]) if len(written) < len(rows) else ""
