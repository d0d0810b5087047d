"""Where files wait for a worker: parts while they arrive, blobs once they are whole.

Names are UUIDs of our own making. A part has one writer at a time. What follows is what every store promises;
`local_blobs.py` keeps them on a disk, `encrypted_blobs.py` keeps them there encrypted.
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
    """A file in the store; `key` is a blob's key, or the id of a part's upload."""

    key: str
    size_bytes: int
    modified_at: datetime


class PartWriter(Protocol):
    """Appends to a part; whoever has one keeps others out until `close`."""

    @property
    def size(self) -> int:
        """Bytes of the part, written or found."""

    def write(self, data: bytes | memoryview) -> None:
        """Append all of `data`. Raises `LimitExceeded` (DISK_FULL) or `TransientError`; the part is then as before."""

    def seal(self) -> None:
        """Say that nothing follows: what is committed has been sealed."""

    def sync(self) -> None:
        """Return once everything written is on the disk."""

    def close(self) -> None:
        """Let others at the part. Closing twice is allowed."""

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
    """Where files wait. A store that is full raises `LimitExceeded` (DISK_FULL), one that fails `TransientError`."""

    def open_part(self, upload_id: UUID) -> PartWriter:
        """Append to a part, making it if need be. Raises `Conflict` (UPLOAD_BUSY) while somebody else does."""

    def open_part_for_reading(self, upload_id: UUID) -> BinaryIO:
        """Read a part from its beginning. Raises `NotFound` (UPLOAD_NOT_FOUND)."""

    def part_size(self, upload_id: UUID) -> int | None:
        """Return the bytes of a part, None if there is none."""

    def commit(self, upload_id: UUID, blob_key: str) -> None:
        """Make a part a blob; on return it survives a crash. Raises `NotFound` (UPLOAD_NOT_FOUND).

        Doing it again after it was done is allowed.
        """

    def open(self, blob_key: str) -> BinaryIO:
        """Read a blob from its beginning. Raises `TerminalError` (BLOB_MISSING)."""

    def size(self, blob_key: str) -> int:
        """Return a blob's bytes. Raises `TerminalError` (BLOB_MISSING)."""

    def delete(self, blob_key: str) -> None:
        """Delete a blob; one that is not there is no error."""

    def delete_part(self, upload_id: UUID) -> None:
        """Delete a part; one that is not there is no error. Raises `Conflict` (UPLOAD_BUSY) while it has a writer."""

    def blobs(self) -> Iterator[BlobInfo]:
        """List the blobs."""

    def parts(self) -> Iterator[BlobInfo]:
        """List the parts."""

    def check(self) -> None:
        """Write, read and delete something. Raises what writing raises."""
