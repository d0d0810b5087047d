"""Opaque tokens: the page tokens of lists and the cursors of watches. Versioned, and bound to their list or run."""

from __future__ import annotations

import binascii
import hashlib
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from facnet_grpc.errors import InvalidInput, Reason

VERSION = 1
MAX_TOKEN = 256  # characters
MAX_PAGE_SIZE = 1000
MAX_PAGE_BYTES = 1 << 20  # a page ends early rather than exceeding the message size that clients accept
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE = struct.Struct(">cB8s")  # kind, version, digest of the list key; the position follows
_CURSOR = struct.Struct(">cB16sId")  # kind, version, run, attempt, percent
_NUMBER = struct.Struct(">q")
_TIME_AND_ID = struct.Struct(">q16s")  # microseconds since the epoch, id

Position = TypeVar("Position")
Row = TypeVar("Row")
Rendered = TypeVar("Rendered", bound=Message)


@dataclass(frozen=True, slots=True)
class PositionFormat(Generic[Position]):
    """The form of positions in the page tokens of a list. `decode` raises `ValueError` and the like for other bytes."""

    encode: Callable[[Position], bytes]
    decode: Callable[[bytes], Position]


def _decode_time_and_id(raw: bytes) -> tuple[datetime, UUID]:
    microseconds, found = _TIME_AND_ID.unpack(raw)
    return EPOCH + timedelta(microseconds=microseconds), UUID(bytes=found)


NUMBER: PositionFormat[int] = PositionFormat(_NUMBER.pack, lambda raw: int(_NUMBER.unpack(raw)[0]))
TEXT: PositionFormat[str] = PositionFormat(str.encode, bytes.decode)
ID: PositionFormat[UUID] = PositionFormat(lambda position: position.bytes, lambda raw: UUID(bytes=raw))
TIME_AND_ID: PositionFormat[tuple[datetime, UUID]] = PositionFormat(
    lambda position: _TIME_AND_ID.pack((position[0] - EPOCH) // timedelta(microseconds=1), position[1].bytes),
    _decode_time_and_id,
)


class PageRequest(Protocol):
    """A request for a page of a list."""

    page_size: int
    page_token: str


class Page(Generic[Position]):
    """The page that a request asks for: `limit` rows after the position `after`, which is None on the first page."""

    def __init__(
        self, request: PageRequest, list_key: object, position: PositionFormat[Position], default_size: int = 100
    ) -> None:
        """Read the request. `list_key` tells lists and filters apart by its repr: a token is valid for one of them.

        Raises `InvalidInput` (page_size), `InvalidInput` (BAD_PAGE_TOKEN).
        """
        if request.page_size < 0:
            raise InvalidInput(field="page_size")
        self.size = min(request.page_size or default_size, MAX_PAGE_SIZE)
        self.limit = self.size + 1  # the additional row tells whether there is a next page
        self._position = position
        self._prefix = _PAGE.pack(b"p", VERSION, hashlib.sha256(repr(list_key).encode()).digest()[:8])
        self.after = self._read(request.page_token) if request.page_token else None

    def build(
        self, rows: Sequence[Row], render: Callable[[Row], Rendered], position: Callable[[Row], Position]
    ) -> tuple[list[Rendered], str]:
        """Return the rendered rows and the token of the next page, which is empty on the last page."""
        rendered = render_page(rows[: self.size], render)
        more = len(rendered) < len(rows)
        return rendered, self.token(position(rows[len(rendered) - 1])) if more else ""

    def token(self, position: Position) -> str:
        """Return the token of the page after `position`."""
        return _encode(self._prefix + self._position.encode(position))

    def _read(self, token: str) -> Position:
        raw = _decode(token)
        try:
            if raw.startswith(self._prefix):
                return self._position.decode(raw[len(self._prefix) :])
        except (ValueError, OverflowError, struct.error):
            pass
        raise InvalidInput(Reason.BAD_PAGE_TOKEN, field="page_token")


def render_page(rows: Iterable[Row], render: Callable[[Row], Rendered]) -> list[Rendered]:
    """Render rows while they fit into `MAX_PAGE_BYTES`; the first row always fits."""
    rendered: list[Rendered] = []
    room = MAX_PAGE_BYTES
    for row in rows:
        message = render(row)
        room -= message.ByteSize()
        if room < 0 and rendered:
            break
        rendered.append(message)
    return rendered


@dataclass(frozen=True, slots=True)
class Cursor:
    """The progress that a watcher has seen: the next stream never shows less."""

    run_id: UUID
    attempt: int
    percent: float

    def encode(self) -> str:
        """Return the cursor as text."""
        return _encode(_CURSOR.pack(b"c", VERSION, self.run_id.bytes, self.attempt, self.percent))

    @classmethod
    def decode(cls, text: str, run_id: UUID) -> Cursor | None:
        """Read a cursor; None if the text is empty. Raises `InvalidInput` (BAD_CURSOR) if it is not one of `run_id`."""
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


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Return the bytes of a token; empty if `_encode` cannot have written it."""
    if len(text) > MAX_TOKEN or not text.isascii():
        return b""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return b""
    return raw if _encode(raw) == text else b""
