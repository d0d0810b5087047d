"""A blob store whose files are encrypted, around one that keeps them: a stolen disk shows nothing.

Each file has a key of its own. It is kept by somebody else (`FileKeys`), so that forgetting it erases the file, also
where copies of the disk are.
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
    """The key of a file, and which blob the file is; None while that is not settled."""

    secret: bytes
    blob_key: str | None = None


class FileKeys(Protocol):
    """Keeps the key of each file, 32 bytes, by the id of the upload that the file came with."""

    def make(self, file_id: UUID) -> bytes:
        """Return a file's key, a new one if it has none. Raises `TransientError`."""

    def find(self, file_id: UUID) -> FileKey | None:
        """Return a file's key, None if it was forgotten. Raises `TransientError`."""


class MemoryFileKeys:
    """Keys that last as long as the process: the twin for tests and for trying things out."""

    def __init__(self) -> None:
        self._keys: dict[UUID, FileKey] = {}

    def make(self, file_id: UUID) -> bytes:
        """Return a file's key, a new one if it has none."""
        return self._keys.setdefault(file_id, FileKey(os.urandom(KEY_BYTES))).secret

    def find(self, file_id: UUID) -> FileKey | None:
        """Return a file's key, None if it was forgotten."""
        return self._keys.get(file_id)

    def settle(self, file_id: UUID, blob_key: str) -> None:
        """Note which blob a file is."""
        self._keys[file_id] = self._keys[file_id]._replace(blob_key=blob_key)

    def forget(self, file_id: UUID) -> None:
        """Erase a file."""
        self._keys.pop(file_id, None)


class EncryptedPart:
    """A part that is encrypted as it is written. What lies behind its sound frames is cut off first."""

    def __init__(self, part: LocalPart, key: bytes, upload_id: UUID, frames: int, size: int) -> None:
        self._part = part
        self._sealer = FrameWriter(key, upload_id, frames)
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
        """Bytes of content, written or found."""
        return self._size

    def write(self, data: bytes | memoryview) -> None:
        """Append all of `data`, or nothing of it."""
        before, number = self._part.size, self._sealer.number
        view = memoryview(data)
        try:
            for start in range(0, len(view), FRAME_BYTES):
                self._part.write(self._sealer.frame(view[start : start + FRAME_BYTES]))
        except FacnetError:
            self._part.truncate(before)
            self._sealer.number = number
            raise
        self._size += len(view)

    def seal(self) -> None:
        """Say that nothing follows. Sealing twice is allowed."""
        if not self._sealed:
            self._part.write(self._sealer.seal(self._size))
            self._sealed = True

    def sync(self) -> None:
        """Return once everything written is on the disk."""
        self._part.sync()

    def close(self) -> None:
        """Let others at the part."""
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
    """A blob store that encrypts what another one keeps; sizes are those of the content, save in lists."""

    def __init__(self, inner: LocalBlobStore, keys: FileKeys) -> None:
        self._inner = inner
        self._keys = keys

    def open_part(self, upload_id: UUID) -> EncryptedPart:
        """Append to a part, making it if need be; what a crash may have torn is cut off."""
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
        """Read a part from its beginning."""
        stored = self._inner.open_part_for_reading(upload_id)
        failure = TransientError(Reason.BACKEND_UNAVAILABLE, upload_id=str(upload_id))
        return self._content(stored, forgotten=failure, damaged=failure)

    def part_size(self, upload_id: UUID) -> int | None:
        """Return the bytes of a part's content, None if there is no part."""
        try:
            with self._inner.open_part_for_reading(upload_id) as stored:
                return scan(stored)[0]
        except NotFound:
            return None

    def commit(self, upload_id: UUID, blob_key: str) -> None:
        """Make a part a blob, sealed by its writer or else now."""
        try:
            with self._inner.open_part_for_reading(upload_id) as stored:
                _, is_sealed = scan(stored)
        except NotFound:
            is_sealed = True  # committed already, or it never was: the other store knows
        if not is_sealed:
            with self.open_part(upload_id) as part:
                part.seal()
        self._inner.commit(upload_id, blob_key)

    def open(self, blob_key: str) -> BinaryIO:
        """Read a blob from its beginning. Raises `TerminalError` (BLOB_MISSING) also if its key is forgotten.

        This and reading raise `TerminalError` (BLOB_DAMAGED) if the file is not what was stored.
        """
        return self._content(
            self._inner.open(blob_key),
            forgotten=TerminalError(Reason.BLOB_MISSING),
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
        """Delete a blob; one that is not there is no error."""
        self._inner.delete(blob_key)

    def delete_part(self, upload_id: UUID) -> None:
        """Delete a part; one that is not there is no error."""
        self._inner.delete_part(upload_id)

    def blobs(self) -> Iterator[BlobInfo]:
        """List the blobs, with the bytes that they take."""
        return self._inner.blobs()

    def parts(self) -> Iterator[BlobInfo]:
        """List the parts, with the bytes that they take."""
        return self._inner.parts()

    def check(self) -> None:
        """Write, read and delete something."""
        self._inner.check()

    def _content(
        self, stored: BinaryIO, *, forgotten: FacnetError, damaged: FacnetError, blob_key: str | None = None
    ) -> BinaryIO:
        try:
            file_id = read_preamble(stored)
            opener = FrameReader(self._secret(file_id, blob_key, forgotten), file_id, stored)
            raw = _Guarded(opener, stored, sealed=blob_key is not None, failure=damaged)
            return cast("BinaryIO", io.BufferedReader(raw, FRAME_BYTES))
        except CorruptFrame:
            stored.close()
            raise damaged from None
        except BaseException:
            stored.close()
            raise

    def _secret(self, file_id: UUID, blob_key: str | None, forgotten: FacnetError) -> bytes:
        key = self._keys.find(file_id)
        if key is None:
            raise forgotten
        if blob_key and key.blob_key not in {blob_key, None}:  # another run's file, whole
            raise CorruptFrame
        return key.secret


def _damaged() -> TerminalError:
    return TerminalError(Reason.BLOB_DAMAGED)


class _Guarded(Content):
    """Content that raises an error of ours."""

    def __init__(self, opener: FrameReader, stored: BinaryIO, *, sealed: bool, failure: FacnetError) -> None:
        super().__init__(opener, stored, sealed=sealed)
        self._failure = failure

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # what io gives it
        """Fill as much of the buffer as there is of one frame. Raises the error that it was given."""
        try:
            return super().readinto(buffer)
        except CorruptFrame:
            raise self._failure from None
