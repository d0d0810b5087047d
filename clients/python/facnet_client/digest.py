"""The SHA-256 of a file, made while it is sent."""

from __future__ import annotations

import hashlib
from threading import Lock

from facnet_client.source import Source

_BLOCK_BYTES = 1 << 20


class FileDigest:
    """Takes each byte of a file once, in order, however often parts of it are sent again.

    A stream that broke may still be handing over a block when the next one has begun.
    """

    def __init__(self, source: Source) -> None:
        """Begin before the first byte of `source`."""
        self._source = source
        self._hash = hashlib.sha256()
        self._size = 0
        self._lock = Lock()

    def reach(self, offset: int) -> None:
        """Read what the server has already and was sent by another program. Raises what reading raises."""
        while self._size < offset:
            block = self._source.read_at(self._size, min(_BLOCK_BYTES, offset - self._size))
            if not block:  # the file has become shorter: the server will see that it is another one
                return
            self.add(self._size, block)

    def add(self, offset: int, data: bytes) -> None:
        """Take the bytes from `offset` on, as far as they are new."""
        with self._lock:
            if offset <= self._size < offset + len(data):
                self._hash.update(memoryview(data)[self._size - offset :])
                self._size = offset + len(data)

    def hexdigest(self) -> str:
        """Return the SHA-256 of everything so far as 64 hexadecimal digits."""
        with self._lock:
            return self._hash.hexdigest()
