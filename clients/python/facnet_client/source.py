"""The bytes of an upload, any part of which can be read again to resume it, and their SHA-256.

A file is simply read at another position. A pipe cannot go back, so the last `REPLAY_BYTES` of it stay in memory: more
than client, kernel and server can have between them of what was sent and is not stored yet.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections import deque
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Protocol

from facnet_client.errors import UploadLost

REPLAY_BYTES = 32 << 20
_HASHED_AT_ONCE_BYTES = 1 << 20


class Source(Protocol):
    """Bytes that can be read at a position. `size` is None if it is not known before the end."""

    size: int | None

    def read_at(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; fewer only at the end. Raises `UploadLost`, `OSError`."""

    def close(self) -> None:
        """Close what was opened for it."""


class SeekableSource:
    """A file, from its present position to its end. Threads may read at once."""

    def __init__(self, file: BinaryIO, *, owned: bool) -> None:
        """Wrap `file`; it is closed with the source only if `owned`."""
        self._file = file
        self._owned = owned
        self._lock = Lock()
        self._start = file.tell()
        self.size: int | None = file.seek(0, os.SEEK_END) - self._start

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Source`."""
        with self._lock:
            self._file.seek(self._start + offset)
            return _read_fully(self._file, length)

    def close(self) -> None:
        """See `Source`."""
        if self._owned:
            self._file.close()


class PipeSource:
    """Something that can be read once: standard input, a pipe, a socket."""

    def __init__(self, file: BinaryIO, *, owned: bool, replay_bytes: int) -> None:
        """Wrap `file`, keeping its last `replay_bytes`; it is closed with the source only if `owned`."""
        self._file = file
        self._owned = owned
        self._replay_bytes = replay_bytes
        self._lock = Lock()
        self._blocks: deque[bytes] = deque()
        self._kept_from = 0
        self._read_to = 0
        self.size: int | None = None

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Source`."""
        with self._lock:
            if offset < self._kept_from:
                raise UploadLost("UPLOAD_LOST", "The stream cannot be read again from where the server stopped.")
            while self._read_to < offset + length and self._fill(length):
                pass
            return self._kept(offset, length)

    def _fill(self, length: int) -> bool:
        block = _read_fully(self._file, length)
        if not block:
            return False
        self._blocks.append(block)
        self._read_to += len(block)
        while self._read_to - self._kept_from - len(self._blocks[0]) >= self._replay_bytes:
            self._kept_from += len(self._blocks.popleft())
        return True

    def _kept(self, offset: int, length: int) -> bytes:
        found, at = [], self._kept_from
        for block in self._blocks:
            begin, end = max(offset - at, 0), min(offset + length - at, len(block))
            if begin < end:
                found.append(block if end - begin == len(block) else block[begin:end])
            at += len(block)
        return found[0] if len(found) == 1 else b"".join(found)

    def close(self) -> None:
        """See `Source`."""
        if self._owned:
            self._file.close()


class FileDigest:
    """Hashes each byte of a file once, in order, however often parts of it are sent again.

    A stream that broke may still be handing over a block when the next one has begun.
    """

    def __init__(self, source: Source) -> None:
        """Begin before the first byte of `source`."""
        self._source = source
        self._hash = hashlib.sha256()
        self._size = 0
        self._lock = Lock()

    def catch_up(self, offset: int) -> None:
        """Read and hash the bytes before `offset` that another program has sent. Raises `UploadLost`, `OSError`."""
        while self._size < offset:
            block = self._source.read_at(self._size, min(_HASHED_AT_ONCE_BYTES, offset - self._size))
            if not block:  # the file has become shorter: the server will see that it is another one
                return
            self.update(self._size, block)

    def update(self, offset: int, data: bytes) -> None:
        """Hash the bytes from `offset` on, as far as they are new."""
        with self._lock:
            if offset <= self._size < offset + len(data):
                self._hash.update(memoryview(data)[self._size - offset :])
                self._size = offset + len(data)

    def hexdigest(self) -> str:
        """Return the SHA-256 of everything so far as 64 hexadecimal digits."""
        with self._lock:
            return self._hash.hexdigest()


def open_source(what: str | os.PathLike[str] | BinaryIO, *, replay_bytes: int = REPLAY_BYTES) -> Source:
    """Open a path, or wrap an open binary file. Raises `OSError` if it cannot be read.

    Of what cannot be read twice, the last `replay_bytes` are kept in memory.
    """
    if not isinstance(what, str | os.PathLike):
        if what.seekable():
            return SeekableSource(what, owned=False)
        return PipeSource(what, owned=False, replay_bytes=replay_bytes)
    file: io.FileIO = Path(what).open("rb", buffering=0)  # noqa: SIM115 - the source closes it
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return SeekableSource(file, owned=True)
    return PipeSource(file, owned=True, replay_bytes=replay_bytes)


def display_name(what: str | os.PathLike[str] | BinaryIO) -> str:
    """Return the name of a file: the last part of its path, as valid Unicode whatever the bytes of the path are."""
    name = what if isinstance(what, str | os.PathLike) else getattr(what, "name", "")
    if not isinstance(name, str | os.PathLike):  # a file made from a descriptor has its number for a name
        return "stdin"
    return os.fsencode(Path(name).name).decode("utf-8", "replace") or "stdin"


def _read_fully(file: BinaryIO | io.FileIO, length: int) -> bytes:
    block = file.read(length) or b""
    if len(block) == length or not block:
        return block
    blocks = [block]
    missing = length - len(block)
    while missing and (block := file.read(missing) or b""):
        blocks.append(block)
        missing -= len(block)
    return b"".join(blocks)
