"""A blob store on a local disk, without encryption.

A part becomes a blob by one rename after its bytes are flushed, so a crash leaves the one or the other. A part has one
writer by an exclusive lock (flock), which ends with the process.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from uuid import UUID, uuid4

from facnet_grpc.errors import Conflict, FacnetError, LimitExceeded, NotFound, Reason, TerminalError, TransientError
from facnet_grpc.storage.blobs.api import BlobInfo

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class LocalPart:
    """A part on a local disk."""

    def __init__(self, path: Path, upload_id: UUID) -> None:
        self._upload_id = upload_id
        self._file: int | None = _open_locked(path, upload_id)
        with _translate_os_errors():
            self._size = os.fstat(self._file).st_size

    @property
    def size(self) -> int:
        """Bytes of the part, found or written."""
        return self._size

    def write(self, data: bytes | memoryview) -> None:
        """Append all of `data`, or nothing of it."""
        file = self._descriptor()
        left = memoryview(data)
        try:
            with _translate_os_errors():
                while left:
                    left = left[os.write(file, left) :]
        except FacnetError:
            with suppress(OSError):  # the bytes left over are correct ones
                os.ftruncate(file, self._size)
            raise
        self._size += len(data)

    def truncate(self, size: int) -> None:
        """Cut the part off after `size` bytes."""
        with _translate_os_errors():
            os.ftruncate(self._descriptor(), size)
        self._size = size

    def seal(self) -> None:
        """Do nothing: a plain file needs no mark at its end."""

    def sync(self) -> None:
        """Flush everything written to the disk."""
        with _translate_os_errors():
            _sync_data(self._descriptor())

    def close(self) -> None:
        """Release the part for other writers."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)  # releases the lock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _descriptor(self) -> int:
        if self._file is None:
            raise Conflict(Reason.UPLOAD_BUSY, upload_id=str(self._upload_id))
        return self._file


class LocalBlobStore:
    """A blob store in a directory: `parts/<upload id>` and `blobs/<blob key>`, files 0600, directories 0700."""

    def __init__(self, root: Path) -> None:
        self._parts = root / "parts"
        self._blobs = root / "blobs"
        with _translate_os_errors():
            for directory in (root, self._parts, self._blobs):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_dir(root)

    def open_part(self, upload_id: UUID) -> LocalPart:
        """Open a part for appending; creates it if needed."""
        return LocalPart(self._part(upload_id), upload_id)

    def open_part_for_reading(self, upload_id: UUID) -> BinaryIO:
        """Open a part for reading from its beginning."""
        with _translate_os_errors(NotFound(Reason.UPLOAD_NOT_FOUND, upload_id=str(upload_id))):
            return self._part(upload_id).open("rb")

    def part_size(self, upload_id: UUID) -> int | None:
        """Return the bytes of a part, None if there is none."""
        try:
            with _translate_os_errors(NotFound(Reason.UPLOAD_NOT_FOUND)):
                return self._part(upload_id).stat().st_size
        except NotFound:
            return None

    def commit(self, upload_id: UUID, blob_key: str) -> None:
        """Turn a part into a blob: flush its bytes, rename it, flush both directories."""
        part, blob = self._part(upload_id), self._blob(blob_key)
        if not part.exists() and blob.exists():
            return
        with _translate_os_errors(NotFound(Reason.UPLOAD_NOT_FOUND, upload_id=str(upload_id))):
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.rename(blob)
            _sync_dir(self._blobs)
            _sync_dir(self._parts)

    def open(self, blob_key: str) -> BinaryIO:
        """Open a blob for reading from its beginning."""
        with _translate_os_errors(TerminalError(Reason.BLOB_MISSING)):
            return self._blob(blob_key).open("rb")

    def size(self, blob_key: str) -> int:
        """Return a blob's bytes."""
        with _translate_os_errors(TerminalError(Reason.BLOB_MISSING)):
            return self._blob(blob_key).stat().st_size

    def delete(self, blob_key: str) -> None:
        """Delete a blob, if it exists."""
        with _translate_os_errors():
            self._blob(blob_key).unlink(missing_ok=True)

    def delete_part(self, upload_id: UUID) -> None:
        """Delete a part, if it exists and has no writer."""
        path = self._part(upload_id)
        if not path.exists():
            return
        with self.open_part(upload_id), _translate_os_errors():
            path.unlink(missing_ok=True)

    def blobs(self) -> Iterator[BlobInfo]:
        """List the blobs."""
        return _files(self._blobs)

    def parts(self) -> Iterator[BlobInfo]:
        """List the parts."""
        return _files(self._parts)

    def check(self) -> None:
        """Write, read and delete a test file."""
        upload_id, key, content = uuid4(), str(uuid4()), b"check"
        try:
            with self.open_part(upload_id) as part:
                part.write(content)
            self.commit(upload_id, key)
            with self.open(key) as file:
                if file.read() != content:
                    raise TransientError
        finally:
            self.delete_part(upload_id)
            self.delete(key)

    def _part(self, upload_id: UUID) -> Path:
        return self._parts / str(upload_id)

    def _blob(self, blob_key: str) -> Path:
        return self._blobs / str(UUID(blob_key))  # only a UUID becomes part of a path


def _open_locked(path: Path, upload_id: UUID) -> int:
    """Open and lock a part; tries again if it was committed or deleted between opening and locking."""
    while True:
        with _translate_os_errors():
            is_new = not path.exists()
            file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            with _translate_os_errors():
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_same(file, path):
                    if is_new:
                        _sync_dir(path.parent)
                    return file
        except _Busy:
            os.close(file)
            raise Conflict(Reason.UPLOAD_BUSY, upload_id=str(upload_id)) from None
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _is_same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


class _Busy(Exception):
    """Another process has the lock."""


@contextmanager
def _translate_os_errors(missing: FacnetError | None = None) -> Iterator[None]:
    """Translate `OSError` into our errors; raises `missing` if the file does not exist."""
    try:
        yield
    except BlockingIOError:
        raise _Busy from None
    except OSError as error:
        if error.errno in _FULL:
            raise LimitExceeded(Reason.DISK_FULL) from None
        if isinstance(error, FileNotFoundError) and missing is not None:
            raise missing from None
        raise TransientError(Reason.BACKEND_UNAVAILABLE, errno=errno.errorcode.get(error.errno or 0, "")) from None


def _sync_dir(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _files(directory: Path) -> Iterator[BlobInfo]:
    with _translate_os_errors():
        found = list(os.scandir(directory))
    for entry in found:
        try:
            state = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # committed or deleted since the directory was read
        yield BlobInfo(entry.name, state.st_size, datetime.fromtimestamp(state.st_mtime, UTC))
