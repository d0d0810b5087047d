"""Where writers write: takes bytes in, gives chunks of one size out."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_BYTES = 256 << 10


class Sink:
    """A file as writers see it; holds what has not been taken yet."""

    closed = False

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._written = 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._waiting += data
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how much has been written in all."""
        return self._written

    def flush(self) -> None:
        """Nothing waits below."""

    def close(self) -> None:
        """What has been written can still be taken."""

    def chunks(self) -> Iterator[bytes]:
        """Take the full chunks."""
        view = memoryview(self._waiting)
        full = len(view) // CHUNK_BYTES * CHUNK_BYTES
        taken = [bytes(view[start : start + CHUNK_BYTES]) for start in range(0, full, CHUNK_BYTES)]
        view.release()
        del self._waiting[:full]
        return iter(taken)

    def rest(self) -> bytes:
        """Take what is left, less than a chunk."""
        rest = bytes(self._waiting)
        self._waiting.clear()
        return rest
