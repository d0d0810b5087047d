"""A file in encrypted frames, each of which says which file it belongs to, where in it, and whether it is the last.

    file  = magic (8) · file id (16) · frame …
    frame = length of its content (4) · nonce (12) · content, AES-256-GCM · tag (16)

What a tag covers besides the content: file id, number of the frame, and its kind. So a frame that was changed, moved,
left out, repeated or taken from another file does not open, and a file that was cut off lacks its seal: the last frame,
which holds the file's size. Nonces are random: a counter could come twice, when a frame that was torn by a crash is
written again.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FRAME_BYTES: Final = 256 << 10  # most content of a frame
CHECKED_BYTES: Final = 64 << 20  # what may not be on the disk yet when a machine crashes is less
KEY_BYTES: Final = 32
MAGIC: Final = b"FACNET1\0"
PREAMBLE_BYTES: Final = len(MAGIC) + 16
OVERHEAD: Final = 4 + 12 + 16
_SEALS = 1 << 31  # in the length: this is the seal
_LENGTH = struct.Struct(">I")
_PLACE = struct.Struct(">16sQ?")
_SIZE = struct.Struct(">Q")


class CorruptFrame(Exception):
    """The bytes are not what was written: cut off, changed, or another file's."""


def preamble(file_id: UUID) -> bytes:
    """Return what a file begins with."""
    return MAGIC + file_id.bytes


def read_preamble(stored: BinaryIO) -> UUID:
    """Return the id of the file that begins here. Raises `Damaged`."""
    found = stored.read(PREAMBLE_BYTES)
    if len(found) != PREAMBLE_BYTES or not found.startswith(MAGIC):
        raise CorruptFrame
    return UUID(bytes=found[len(MAGIC) :])


class FrameWriter:
    """Makes the frames of one file, from the frame `number` on."""

    def __init__(self, key: bytes, file_id: UUID, number: int = 0) -> None:
        self._cipher = AESGCM(key)
        self._file_id = file_id.bytes
        self.number = number

    def frame(self, content: bytes | memoryview) -> bytes:
        """Return a frame of at most `FRAME_BYTES` of content."""
        return self._make(content, seals=False)

    def seal(self, size: int) -> bytes:
        """Return the last frame of a file of `size` bytes."""
        return self._make(_SIZE.pack(size), seals=True)

    def _make(self, content: bytes | memoryview, *, seals: bool) -> bytes:
        nonce = os.urandom(12)
        sealed = self._cipher.encrypt(nonce, content, _PLACE.pack(self._file_id, self.number, seals))
        self.number += 1
        return b"".join((_LENGTH.pack(len(content) | (_SEALS if seals else 0)), nonce, sealed))


class FrameReader:
    """Reads the frames of one file in order; `stored` stands before frame `number`. Not closed here."""

    def __init__(self, key: bytes, file_id: UUID, stored: BinaryIO, *, number: int = 0, size: int = 0) -> None:
        self._cipher = AESGCM(key)
        self._file_id = file_id.bytes
        self._stored = stored
        self.number = number
        self.size = size  # bytes of content so far
        self.is_sealed = False

    def next(self) -> bytes:
        """Return the content of the next frame, nothing at the end of what is stored. Raises `Damaged`."""
        head = self._stored.read(_LENGTH.size)
        if not head:
            return b""
        length, seals = _read_length(head)
        if self.is_sealed:
            raise CorruptFrame
        content = self._open(length, seals=seals)
        self.number += 1
        if not seals:
            self.size += length
            return content
        if content != _SIZE.pack(self.size):
            raise CorruptFrame
        self.is_sealed = True
        return self.next()  # the end, or more than there may be

    def _open(self, length: int, *, seals: bool) -> bytes:
        nonce, sealed = self._stored.read(12), self._stored.read(length + 16)
        try:
            return self._cipher.decrypt(nonce, sealed, _PLACE.pack(self._file_id, self.number, seals))
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce or a tag
            raise CorruptFrame from None


class Content(io.RawIOBase):
    """The content of a file as a stream, whose end is known to be the end; closes what is stored."""

    def __init__(self, opener: FrameReader, stored: BinaryIO, *, sealed: bool) -> None:
        self._opener = opener
        self._stored = stored
        self._sealed = sealed
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # what io gives it
        """Fill as much of the buffer as there is of one frame. Raises `Damaged`."""
        if not self._left:
            self._left = memoryview(self._opener.next())
        if not self._left and self._sealed and not self._opener.is_sealed:
            raise CorruptFrame
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        """Close what is stored, too."""
        self._stored.close()
        super().close()


def scan(stored: BinaryIO) -> tuple[int, bool]:
    """Return the bytes of content of a file, and whether it ends in a seal, by its lengths alone.

    A torn frame does not count.
    """
    frames = list(_frames(stored))
    end = stored.seek(0, os.SEEK_END)
    position, length, is_sealed = frames[-1] if frames else (0, 0, False)
    size = sum(length for _, length, seals in frames if not seals)
    return size, is_sealed and position + OVERHEAD + length == end


def recover_prefix(stored: BinaryIO, key: bytes, file_id: UUID) -> tuple[int, int]:
    """Return how many frames of a part are sound, and the bytes of their content.

    Those that may not have been on the disk yet when a machine crashed are opened; the rest is opened by who reads it.
    """
    stored.seek(0)
    with suppress(CorruptFrame):
        if read_preamble(stored) != file_id:
            return 0, 0
        frames = [frame for frame in _frames(stored) if not frame[2]]
        known = max(len(frames) - CHECKED_BYTES // FRAME_BYTES, 0)
        size = sum(length for _, length, _ in frames[:known])
        stored.seek(frames[known][0] if frames else PREAMBLE_BYTES)
        opener = FrameReader(key, file_id, stored, number=known, size=size)
        with suppress(CorruptFrame):
            while opener.next():
                pass
        return opener.number - opener.is_sealed, opener.size
    return 0, 0


def _frames(stored: BinaryIO) -> Iterator[tuple[int, int, bool]]:
    """Yield position, length and kind of each frame that is there as a whole."""
    end = stored.seek(0, os.SEEK_END)
    position = PREAMBLE_BYTES
    while position + OVERHEAD <= end:
        stored.seek(position)
        try:
            length, seals = _read_length(stored.read(_LENGTH.size))
        except CorruptFrame:
            return
        if position + OVERHEAD + length > end:
            return
        yield position, length, seals
        position += OVERHEAD + length


def _read_length(head: bytes) -> tuple[int, bool]:
    if len(head) != _LENGTH.size:
        raise CorruptFrame
    (word,) = _LENGTH.unpack(head)
    length, seals = word & ~_SEALS, bool(word & _SEALS)
    if not 0 < length <= FRAME_BYTES:
        raise CorruptFrame
    return length, seals
