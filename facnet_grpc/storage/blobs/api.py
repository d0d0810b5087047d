"""The interface of blob stores. An uploaded file is a part while it arrives, and a blob once it is complete.

Names are UUIDs that the service makes. A part has one writer at a time. `local` stores files on a disk, `encrypted`
encrypts what `local` stores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import BinaryIO, Protocol, Self
from uuid import UUID


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A stored file; `key` is the key of a blob, or the upload id of a part."""

    key: str
    size_bytes: int
    modified_at: datetime


class PartWriter(Protocol):
    """Appends to a part; locks out other writers until `close`."""

    @property
    def size(self) -> int:
        """Bytes of the part, found or written."""

    def write(self, data: bytes | memoryview) -> None:
        """Append all of `data`. On an error (DISK_FULL, or `TransientError`) the part is as it was."""

    def seal(self) -> None:
        """Mark the end of the content."""

    def sync(self) -> None:
        """Flush everything written to the disk."""

    def close(self) -> None:
        """Release the part for other writers. Closing twice is allowed."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""


class BlobStore(Protocol):
    """Stores files. Methods raise `LimitExceeded` (DISK_FULL) if the store is full, `TransientError` if it fails."""

    def open_part(self, upload_id: UUID) -> PartWriter:
        """Open a part for appending, a new one if needed. Raises `Conflict` (UPLOAD_BUSY) if it has a writer."""

    def open_part_for_reading(self, upload_id: UUID) -> BinaryIO:
        """Open a part for reading from its beginning. Raises `NotFound` (UPLOAD_NOT_FOUND)."""

    def part_size(self, upload_id: UUID) -> int | None:
        """Return the bytes of a part, None if there is none."""

    def commit(self, upload_id: UUID, blob_key: str) -> None:
        """Turn a part into a blob, durably. Idempotent. Raises `NotFound` (UPLOAD_NOT_FOUND)."""

    def open(self, blob_key: str) -> BinaryIO:
        """Open a blob for reading from its beginning. Raises `TerminalError` (BLOB_MISSING)."""

    def size(self, blob_key: str) -> int:
        """Return a blob's bytes. Raises `TerminalError` (BLOB_MISSING)."""

    def delete(self, blob_key: str) -> None:
        """Delete a blob, if it exists."""

    def delete_part(self, upload_id: UUID) -> None:
        """Delete a part, if it exists. Raises `Conflict` (UPLOAD_BUSY) while it has a writer."""

    def blobs(self) -> Iterator[BlobInfo]:
        """List the blobs."""

    def parts(self) -> Iterator[BlobInfo]:
        """List the parts."""

    def check(self) -> None:
        """Write, read and delete a test file. Raises what these raise."""
