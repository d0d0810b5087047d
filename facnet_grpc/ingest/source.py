"""The stored file as a stream of bytes: expanded if it is compressed, within limits; it knows how far it has read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO, Self

import pyarrow as pa

from facnet_grpc.errors import Reason, TerminalError
from facnet_grpc.ingest.options import ReadOptions

OpenSource = Callable[[], BinaryIO]

SMALL_BYTES = 1 << 20
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))
_MAGIC_BYTES = 4


def fetched_once(open_source: OpenSource, size_bytes: int) -> OpenSource:
    """Return what opens a file, which is read several times: one that is small is fetched and decrypted only once."""
    content: bytes | None = None

    def open_kept() -> BinaryIO:
        nonlocal content
        if content is None:
            with open_source() as file:
                content = b"".join(iter(partial(file.read, SMALL_BYTES), b""))
        return BytesIO(content)

    return open_kept if size_bytes <= SMALL_BYTES else open_source


class Stream:
    """A claim file being read; a context manager that closes it."""

    def __init__(self, open_source: OpenSource, size_bytes: int, options: ReadOptions) -> None:
        """Open the file. `size_bytes` is its stored size; a compressed file may not expand beyond the limits."""
        self._stored = _Stored(open_source())
        self._size_bytes = size_bytes
        try:
            self.compression = self._stored.compression()
        except BaseException:
            self._stored.close()
            raise
        self._limit = min(options.max_expanded_bytes, options.max_expansion_ratio * size_bytes)
        self._expanded = 0
        self._file: Any = self._stored
        if self.compression:
            self._file = pa.CompressedInputStream(pa.PythonFile(self._stored, mode="r"), self.compression)

    @property
    def position(self) -> int:
        """How many bytes of the stored file have been read."""
        return min(self._stored.position, self._size_bytes)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end.

        Raises:
            TerminalError: CORRUPT_ARCHIVE, or EXPANDS_TOO_LARGE.
        """
        if not self.compression:
            return self._stored.read(size)
        try:
            data: bytes = self._file.read(size)
        except (OSError, pa.ArrowException):
            if self._stored.failure:
                raise self._stored.failure from None
            raise TerminalError(Reason.CORRUPT_ARCHIVE) from None
        self._expanded += len(data)
        if self._expanded > self._limit:
            raise TerminalError(Reason.EXPANDS_TOO_LARGE, limit_bytes=self._limit)
        return data

    def close(self) -> None:
        """Close the file."""
        self._stored.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Stored:
    """The file as stored, counting; a file object as far as Arrow needs one."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ahead = b""
        self.position = 0
        self.failure: Exception | None = None

    def compression(self) -> str | None:
        """Tell the compression by the first bytes."""
        while len(self._ahead) < _MAGIC_BYTES and (more := self._file.read(_MAGIC_BYTES - len(self._ahead))):
            self._ahead += more
        return next((name for magic, name in _MAGIC if self._ahead.startswith(magic)), None)

    def read(self, size: int = -1) -> bytes:
        data, self._ahead = self._ahead, b""
        try:
            data += self._file.read(max(size - len(data), 1))
        except Exception as failure:
            # Arrow would turn it into its own error; what the store says about itself is worth more.
            self.failure = failure
            raise
        self.position += len(data)
        return data

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
        self._file.close()
