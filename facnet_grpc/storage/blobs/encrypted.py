"""A blob store that encrypts the files of another one.

Each file has a key of its own, which is stored elsewhere (`FileKeys`): deleting the key makes every copy of the file
unreadable, in backups of the disk too.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol, Self, cast
from uuid import UUID

from facnet_grpc.errors import FacnetError, NotFound, Reason, TerminalError, TransientError
from facnet_grpc.storage.blobs.api import BlobInfo
from facnet_grpc.storage.blobs.frame_format import (
    FRAME_BYTES,
    KEY_BYTES,
    OVERHEAD,
    PREAMBLE_BYTES,
    Content,
    CorruptFrame,
    FrameReader,
    FrameWriter,
    preamble,
    read_preamble,
    recover_prefix,
    scan,
)
from facnet_grpc.storage.blobs.local import LocalBlobStore, LocalPart


class FileKey(NamedTuple):
    """The key of a file, and its blob key, None while it is a part."""

    secret: bytes
    blob_key: str | None = None


class FileKeys(Protocol):
    """Stores the key of each file, 32 bytes, by the id of its upload."""

    def make(self, file_id: UUID) -> bytes:
        """Return a file's key, a new one if it has none. Raises `TransientError`."""

    def find(self, file_id: UUID) -> FileKey | None:
        """Return a file's key, None if it was deleted. Raises `TransientError`."""


class MemoryFileKeys:
    """Keys in memory, for tests and benchmarks."""

    def __init__(self) -> None:
        self._keys: dict[UUID, FileKey] = {}

    def make(self, file_id: UUID) -> bytes:
        """Return a file's key, a new one if it has none."""
        return self._keys.setdefault(file_id, FileKey(os.urandom(KEY_BYTES))).secret

    def find(self, file_id: UUID) -> FileKey | None:
        """Return a file's key, None if it was deleted."""
        return self._keys.get(file_id)

    def set_blob_key(self, file_id: UUID, blob_key: str) -> None:
        """Store the blob key of a file."""
        self._keys[file_id] = self._keys[file_id]._replace(blob_key=blob_key)

    def delete(self, file_id: UUID) -> None:
        """Delete a file's key."""
        self._keys.pop(file_id, None)


class EncryptedPart:
    """A part that is encrypted as it is written. Bytes after its last valid frame are cut off first."""

    def __init__(self, part: LocalPart, key: bytes, upload_id: UUID, frames: int, size: int) -> None:
        self._part = part
        self._writer = FrameWriter(key, upload_id, frames)
        self._size = size
        self._sealed = False
        end = PREAMBLE_BYTES + frames * OVERHEAD + size
        if frames == 0:
            part.truncate(0)
            part.write(preamble(upload_id))
        elif part.size > end:
            part.truncate(end)

    @property
    def size(self) -> int:
        """Bytes of content, found or written."""
        return self._size

    def write(self, data: bytes | memoryview) -> None:
        """Append all of `data`, or nothing of it."""
        before, number = self._part.size, self._writer.number
        view = memoryview(data)
        try:
            for start in range(0, len(view), FRAME_BYTES):
                self._part.write(self._writer.frame(view[start : start + FRAME_BYTES]))
        except FacnetError:
            self._part.truncate(before)
            self._writer.number = number
            raise
        self._size += len(view)

    def seal(self) -> None:
        """Write the seal, the last frame. Sealing twice is allowed."""
        if not self._sealed:
            self._part.write(self._writer.seal(self._size))
            self._sealed = True

    def sync(self) -> None:
        """Flush everything written to the disk."""
        self._part.sync()

    def close(self) -> None:
        """Release the part for other writers."""
        self._part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class EncryptedBlobStore:
    """Encrypts the files of another store. Sizes are of the content, but those listed by `blobs` and `parts`."""

    def __init__(self, inner: LocalBlobStore, keys: FileKeys) -> None:
        self._inner = inner
        self._keys = keys

    def open_part(self, upload_id: UUID) -> EncryptedPart:
        """Open a part for appending; creates it if needed, and cuts off frames that a crash has torn."""
        part = self._inner.open_part(upload_id)
        try:
            key = self._keys.make(upload_id)
            with self._inner.open_part_for_reading(upload_id) as stored:
                frames, size = recover_prefix(stored, key, upload_id)
            return EncryptedPart(part, key, upload_id, frames, size)
        except BaseException:
            part.close()
            raise

    def open_part_for_reading(self, upload_id: UUID) -> BinaryIO:
        """Open a part for reading from its beginning."""
        stored = self._inner.open_part_for_reading(upload_id)
        failure = TransientError(Reason.BACKEND_UNAVAILABLE, upload_id=str(upload_id))
        return self._content(stored, deleted=failure, damaged=failure)

    def part_size(self, upload_id: UUID) -> int | None:
        """Return the bytes of a part's content, None if there is no part."""
        try:
            with self._inner.open_part_for_reading(upload_id) as stored:
                return scan(stored)[0]
        except NotFound:
            return None

    def commit(self, upload_id: UUID, blob_key: str) -> None:
        """Turn a part into a blob; seals it if its writer has not."""
        try:
            with self._inner.open_part_for_reading(upload_id) as stored:
                _, is_sealed = scan(stored)
        except NotFound:
            is_sealed = True  # committed already, or it never existed: the inner store decides
        if not is_sealed:
            with self.open_part(upload_id) as part:
                part.seal()
        self._inner.commit(upload_id, blob_key)

    def open(self, blob_key: str) -> BinaryIO:
        """Open a blob for reading. Raises `TerminalError` (BLOB_MISSING), also if its key was deleted.

        Opening and reading raise `TerminalError` (BLOB_DAMAGED) if the file is not as it was stored.
        """
        return self._content(
            self._inner.open(blob_key),
            deleted=TerminalError(Reason.BLOB_MISSING),
            damaged=_damaged(),
            blob_key=blob_key,
        )

    def size(self, blob_key: str) -> int:
        """Return the bytes of a blob's content. Raises `TerminalError`, BLOB_DAMAGED if its end is missing."""
        with self._inner.open(blob_key) as stored:
            size, is_sealed = scan(stored)
        if not is_sealed:
            raise _damaged()
        return size

    def delete(self, blob_key: str) -> None:
        """Delete a blob, if it exists."""
        self._inner.delete(blob_key)

    def delete_part(self, upload_id: UUID) -> None:
        """Delete a part, if it exists."""
        self._inner.delete_part(upload_id)

    def blobs(self) -> Iterator[BlobInfo]:
        """List the blobs, with their sizes on disk."""
        return self._inner.blobs()

    def parts(self) -> Iterator[BlobInfo]:
        """List the parts, with their sizes on disk."""
        return self._inner.parts()

    def check(self) -> None:
        """Write, read and delete a test file."""
        self._inner.check()

    def _content(
        self, stored: BinaryIO, *, deleted: FacnetError, damaged: FacnetError, blob_key: str | None = None
    ) -> BinaryIO:
        try:
            file_id = read_preamble(stored)
            reader = FrameReader(self._secret(file_id, blob_key, deleted), file_id, stored)
            raw = _GuardedContent(reader, stored, sealed=blob_key is not None, failure=damaged)
            return cast("BinaryIO", io.BufferedReader(raw, FRAME_BYTES))
        except CorruptFrame:
            stored.close()
            raise damaged from None
        except BaseException:
            stored.close()
            raise

    def _secret(self, file_id: UUID, blob_key: str | None, deleted: FacnetError) -> bytes:
        key = self._keys.find(file_id)
        if key is None:
            raise deleted
        if blob_key and key.blob_key not in {blob_key, None}:  # a whole file of another run
            raise CorruptFrame
        return key.secret


def _damaged() -> TerminalError:
    return TerminalError(Reason.BLOB_DAMAGED)


class _GuardedContent(Content):
    """Content that raises `failure` instead of `CorruptFrame`."""

    def __init__(self, reader: FrameReader, stored: BinaryIO, *, sealed: bool, failure: FacnetError) -> None:
        super().__init__(reader, stored, sealed=sealed)
        self._failure = failure

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # what io gives it
        """Fill the buffer from one frame; returns the number of bytes."""
        try:
            return super().readinto(buffer)
        except CorruptFrame:
            raise self._failure from None
