"""The format of encrypted files: frames, each authenticated with its file, its position and whether it is the last.

    file  = magic (8) · file id (16) · frame …
    frame = length of its content (4) · nonce (12) · content, AES-256-GCM · tag (16)

A tag covers the content and, as associated data, the file id, the frame number and the kind of frame. So a frame that
was changed, moved, left out, repeated or taken from another file does not decrypt, and a truncated file lacks its seal:
the last frame, which holds the size of the file. Nonces are random: a counter would repeat when a frame that was torn
by a crash is written again.
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

FRAME_BYTES: Final = 256 << 10  # maximum content of a frame
CHECKED_BYTES: Final = 64 << 20  # verified on recovery; a machine crash loses less
KEY_BYTES: Final = 32
MAGIC: Final = b"FACNET1\0"
PREAMBLE_BYTES: Final = len(MAGIC) + 16
OVERHEAD: Final = 4 + 12 + 16
_SEAL_BIT = 1 << 31  # in the length of a frame: it is the seal
_LENGTH = struct.Struct(">I")
_POSITION = struct.Struct(">16sQ?")
_SIZE = struct.Struct(">Q")


class CorruptFrame(Exception):
    """The bytes are not what was written: cut off, changed, or another file's."""


def preamble(file_id: UUID) -> bytes:
    """Return the first bytes of a file."""
    return MAGIC + file_id.bytes


def read_preamble(stored: BinaryIO) -> UUID:
    """Read the first bytes of a file and return its id. Raises `CorruptFrame`."""
    found = stored.read(PREAMBLE_BYTES)
    if len(found) != PREAMBLE_BYTES or not found.startswith(MAGIC):
        raise CorruptFrame
    return UUID(bytes=found[len(MAGIC) :])


class FrameWriter:
    """Encrypts the frames of one file, from the frame `number` on."""

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
        sealed = self._cipher.encrypt(nonce, content, _POSITION.pack(self._file_id, self.number, seals))
        self.number += 1
        return b"".join((_LENGTH.pack(len(content) | (_SEAL_BIT if seals else 0)), nonce, sealed))


class FrameReader:
    """Decrypts the frames of one file in order. `stored` is positioned at frame `number`, and is not closed here."""

    def __init__(self, key: bytes, file_id: UUID, stored: BinaryIO, *, number: int = 0, size: int = 0) -> None:
        self._cipher = AESGCM(key)
        self._file_id = file_id.bytes
        self._stored = stored
        self.number = number
        self.size = size  # bytes of content before this position
        self.is_sealed = False

    def next(self) -> bytes:
        """Return the content of the next frame, empty at the end of the file. Raises `CorruptFrame`."""
        head = self._stored.read(_LENGTH.size)
        if not head:
            return b""
        length, seals = _read_length(head)
        if self.is_sealed:
            raise CorruptFrame
        content = self._decrypt(length, seals=seals)
        self.number += 1
        if not seals:
            self.size += length
            return content
        if content != _SIZE.pack(self.size):
            raise CorruptFrame
        self.is_sealed = True
        return self.next()  # the end of the file, or bytes after the seal

    def _decrypt(self, length: int, *, seals: bool) -> bytes:
        nonce, sealed = self._stored.read(12), self._stored.read(length + 16)
        try:
            return self._cipher.decrypt(nonce, sealed, _POSITION.pack(self._file_id, self.number, seals))
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce or a tag
            raise CorruptFrame from None


class Content(io.RawIOBase):
    """The content of a file as a stream; with `sealed`, a file without its seal is corrupt. Closes the file."""

    def __init__(self, reader: FrameReader, stored: BinaryIO, *, sealed: bool) -> None:
        self._reader = reader
        self._stored = stored
        self._sealed = sealed
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # what io gives it
        """Fill the buffer from one frame; returns the number of bytes. Raises `CorruptFrame`."""
        if not self._left:
            self._left = memoryview(self._reader.next())
        if not self._left and self._sealed and not self._reader.is_sealed:
            raise CorruptFrame
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        """Close the file, too."""
        self._stored.close()
        super().close()


def scan(stored: BinaryIO) -> tuple[int, bool]:
    """Return the bytes of content of a file, and whether it ends in a seal, from the lengths of its frames only.

    A torn frame is not counted.
    """
    frames = list(_frames(stored))
    end = stored.seek(0, os.SEEK_END)
    position, length, is_sealed = frames[-1] if frames else (0, 0, False)
    size = sum(length for _, length, seals in frames if not seals)
    return size, is_sealed and position + OVERHEAD + length == end


def recover_prefix(stored: BinaryIO, key: bytes, file_id: UUID) -> tuple[int, int]:
    """Return how many frames of a part are valid, and the bytes of their content.

    Only the last `CHECKED_BYTES` are decrypted: earlier frames were flushed to the disk before a crash.
    """
    stored.seek(0)
    with suppress(CorruptFrame):
        if read_preamble(stored) != file_id:
            return 0, 0
        frames = [frame for frame in _frames(stored) if not frame[2]]
        known = max(len(frames) - CHECKED_BYTES // FRAME_BYTES, 0)
        size = sum(length for _, length, _ in frames[:known])
        stored.seek(frames[known][0] if frames else PREAMBLE_BYTES)
        reader = FrameReader(key, file_id, stored, number=known, size=size)
        with suppress(CorruptFrame):
            while reader.next():
                pass
        return reader.number - reader.is_sealed, reader.size
    return 0, 0


def _frames(stored: BinaryIO) -> Iterator[tuple[int, int, bool]]:
    """Yield position, content length and whether it is the seal, of each complete frame."""
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
    length, seals = word & ~_SEAL_BIT, bool(word & _SEAL_BIT)
    if not 0 < length <= FRAME_BYTES:
        raise CorruptFrame
    return length, seals
