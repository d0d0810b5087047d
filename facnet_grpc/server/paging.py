"""Opaque tokens: where a list goes on, and where a watch goes on. Versioned, and bound to what they were made for.

Cuts lists into pages.
"""

from __future__ import annotations

import binascii
import hashlib
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from google.protobuf.message import Message

from facnet_grpc.errors import InvalidInput, Reason

VERSION = 1
_PAGE = struct.Struct(">cB8s")  # kind, version, what was asked for; then the position
_CURSOR = struct.Struct(">cB16sId")  # kind, version, run, attempt, percent
_MOMENT = struct.Struct(">q16s")  # microseconds, id
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TOKEN = 256


def page_token(asked: object, position: bytes) -> str:
    """Return a token for the page after `position` of the list that `asked` describes by its repr."""
    return _encode(_PAGE.pack(b"p", VERSION, _digest(asked)) + position)


def page_position(token: str, asked: object) -> bytes | None:
    """Return the position in a token of this list; None without one. Raises `InvalidInput(BAD_PAGE_TOKEN)`."""
    if not token:
        return None
    raw = _decode(token)
    if raw[: _PAGE.size] != _PAGE.pack(b"p", VERSION, _digest(asked)):
        raise InvalidInput(Reason.BAD_PAGE_TOKEN, field="page_token")
    return raw[_PAGE.size :]


def number_position(token: str, asked: object) -> int:
    """Return the number in a token that `number_token` made, 0 without one. Raises `InvalidInput(BAD_PAGE_TOKEN)`."""
    position = page_position(token, asked)
    if position is None:
        return 0
    if len(position) != 8:  # noqa: PLR2004 - as written below
        raise InvalidInput(Reason.BAD_PAGE_TOKEN, field="page_token")
    return int.from_bytes(position, "big")


def number_token(asked: object, number: int) -> str:
    """Return a token for the page after row `number`."""
    return page_token(asked, number.to_bytes(8, "big"))


def uuid_position(token: str, asked: object) -> UUID | None:
    """Return the id in a token made of its 16 bytes, None without one. Raises `InvalidInput(BAD_PAGE_TOKEN)`."""
    position = page_position(token, asked)
    if position is None:
        return None
    if len(position) != 16:  # noqa: PLR2004 - bytes of a UUID
        raise InvalidInput(Reason.BAD_PAGE_TOKEN, field="page_token")
    return UUID(bytes=position)


def moment_token(asked: object, moment: datetime, one: UUID) -> str:
    """Return a token for the page after what happened to `one` at `moment`."""
    return page_token(asked, _MOMENT.pack((moment - EPOCH) // timedelta(microseconds=1), one.bytes))


def moment_position(token: str, asked: object) -> tuple[datetime, UUID] | None:
    """Return what `moment_token` was made of, None without one. Raises `InvalidInput(BAD_PAGE_TOKEN)`."""
    position = page_position(token, asked)
    if position is None:
        return None
    try:
        microseconds, one = _MOMENT.unpack(position)
        return EPOCH + timedelta(microseconds=microseconds), UUID(bytes=one)
    except (struct.error, OverflowError):
        raise InvalidInput(Reason.BAD_PAGE_TOKEN, field="page_token") from None


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a watcher has seen a run: the next stream never shows less."""

    run_id: UUID
    attempt: int
    percent: float

    def encode(self) -> str:
        """Return the cursor as text."""
        return _encode(_CURSOR.pack(b"c", VERSION, self.run_id.bytes, self.attempt, self.percent))

    @classmethod
    def decode(cls, text: str, run_id: UUID) -> Cursor | None:
        """Read a cursor; None if there is none. Raises `InvalidInput(BAD_CURSOR)` if it is not one of `run_id`."""
        if not text:
            return None
        raw = _decode(text)
        if len(raw) != _CURSOR.size:
            raise _bad_cursor()
        kind, version, run, attempt, percent = _CURSOR.unpack(raw)
        if (kind, version, run) != (b"c", VERSION, run_id.bytes) or not 0 <= percent <= 100:  # noqa: PLR2004 - per cent
            raise _bad_cursor()
        return cls(run_id, attempt, percent)


def _bad_cursor() -> InvalidInput:
    return InvalidInput(Reason.BAD_CURSOR, field="after_cursor")


def _digest(asked: object) -> bytes:
    return hashlib.sha256(repr(asked).encode()).digest()[:8]


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Return the bytes of a token; none, which no token has, if it was not written by `_encode`."""
    if len(text) > MAX_TOKEN or not text.isascii():
        return b""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return b""
    return raw if _encode(raw) == text else b""


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
