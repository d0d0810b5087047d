"""Turns a stream of chunks into a stored file and a queued run. A file once accepted is never lost.

That guarantee rests on the order of writes: the row of the upload, then its part; the part is on the disk before the
run is inserted; it becomes a blob within the run's transaction, just before the commit; the job is enqueued after the
commit. Killed anywhere, this leaves a part to resume, or a blob without a run, which retention deletes, or a run with
its blob, which the workers' reconciler enqueues.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from facnet_grpc import faults, metrics
from facnet_grpc.errors import Conflict, CorruptData, FacnetError, InvalidInput, LimitExceeded, Reason
from facnet_grpc.model.run import Run
from facnet_grpc.model.upload import Upload, UploadHeader
from facnet_grpc.server.dispatch import Dispatcher
from facnet_grpc.server.executors import BackgroundTasks, BlockingExecutor
from facnet_grpc.server.uploads.receiver import Chunk, Limits, NullSink, Receiver
from facnet_grpc.server.uploads.repository import UploadRepository, compare
from facnet_grpc.settings.process import UploadSettings
from facnet_grpc.storage.blobs.api import BlobStore, PartWriter

BUSY_SECONDS = 5.0  # how long a new stream waits for an interrupted one to close the same upload
BUSY_POLL_SECONDS = 0.05
# After these errors the stored bytes cannot be used: they are deleted.
UNUSABLE = frozenset(
    {
        Reason.FILE_TOO_LARGE,
        Reason.SIZE_MISMATCH,
        Reason.CHECKSUM_MISMATCH,
        Reason.EMPTY_FILE,
        Reason.IDEMPOTENCY_CONFLICT,
    },
)


@dataclass(frozen=True, slots=True)
class _OpenUpload:
    upload: Upload
    header: UploadHeader
    part: PartWriter
    receiver: Receiver


class Uploads:
    """Receives files. Reads `chunks` to their end, or up to the first error."""

    def __init__(
        self,
        *,
        repository: UploadRepository,
        blobs: BlobStore,
        blocking: BlockingExecutor,
        background: BackgroundTasks,
        dispatcher: Dispatcher,
        settings: UploadSettings,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self._repository = repository
        self._blobs = blobs
        self._blocking = blocking
        self._background = background
        self._dispatcher = dispatcher
        self._settings = settings
        self._busy_seconds = busy_seconds

    async def get(self, upload_id: UUID, owner: str) -> tuple[Upload, int]:
        """Return an upload and the number of its bytes on the disk. Raises `NotFound`."""
        return await self._blocking.run(self._repository.get, upload_id, owner)

    async def find_finished(self, header: UploadHeader, owner: str) -> Run | None:
        """Return the run of an upload that was finished before. Raises `Conflict` if that was another file."""
        if header.upload_id is None:
            return None
        run = await self._blocking.run(self._repository.find_finished, header.upload_id, owner)
        if run is not None:
            compare(run, header.sha256, header.size_bytes)
        return run

    async def receive(self, header: UploadHeader, owner: str, upload_id: UUID, chunks: AsyncIterator[Chunk]) -> Run:
        """Receive a file and return its run, new or found by its idempotency key.

        Raises the errors of `Receiver`, `InvalidInput` (EMPTY_FILE), `CorruptData` (size or checksum differ from the
        announced ones), `Conflict`, `NotFound` (upload of another owner), `LimitExceeded`, `TransientError`.
        """
        self._refuse_too_large(header)
        known = await self._blocking.run(self._repository.find_by_key, header.idempotency_key, owner)
        with metrics.UPLOADS_OPEN.track_inprogress():
            if known is not None:
                return await self._hash_only(known, header, chunks)
            opened = await self._open_or_close(header, owner, upload_id)
            if isinstance(opened, Run):
                return opened
            faults.point("server.upload.opened")
            async with self._closing_on_error(opened):
                await self._fill(opened, chunks)
            return await asyncio.shield(self._background.start(self._complete(opened)))

    async def append(
        self, header: UploadHeader, owner: str, upload_id: UUID, chunk: Chunk | None, *, finish: bool
    ) -> tuple[int, Run | None]:
        """Receive one chunk of a file, and with `finish` its end; return the bytes on the disk, and the finished run.

        `receive` can resume such an upload, and vice versa. Raises the errors of `receive`.
        """
        self._refuse_too_large(header)
        # Only the end needs the hash of the bytes before it.
        opened = await self._open_or_close(header, owner, upload_id, rehash=finish)
        if isinstance(opened, Run):
            return opened.size_bytes, opened
        async with self._closing_on_error(opened):
            if chunk is not None:
                await opened.receiver.add(chunk)
            if not finish:
                await opened.receiver.finish()
        if not finish:
            return await asyncio.shield(self._background.start(self._close(opened, None))), None
        run = await asyncio.shield(self._background.start(self._complete(opened)))
        return run.size_bytes, run

    def _refuse_too_large(self, header: UploadHeader) -> None:
        if header.size_bytes is not None and header.size_bytes > self._settings.max_file_bytes:
            raise LimitExceeded(Reason.FILE_TOO_LARGE, max_bytes=self._settings.max_file_bytes)

    @contextlib.asynccontextmanager
    async def _closing_on_error(self, opened: _OpenUpload) -> AsyncIterator[None]:
        """Close the upload if the block fails, so that it can be resumed."""
        try:
            yield
        except FacnetError as error:
            await asyncio.shield(self._background.start(self._close(opened, error.reason)))
            raise
        except BaseException:  # the stream was interrupted, or the server stops
            self._background.start(self._close(opened, None))
            raise

    async def _hash_only(self, known: Run, header: UploadHeader, chunks: AsyncIterator[Chunk]) -> Run:
        receiver = Receiver(NullSink(), self._receiver_limits(header), self._blocking)
        async for chunk in chunks:
            await receiver.add(chunk)
        size = receiver.received
        sha256 = await receiver.finish()
        _check(header, size, sha256, receiver.announced_sha256)
        compare(known, sha256, size)
        return known

    async def _open_or_close(
        self, header: UploadHeader, owner: str, upload_id: UUID, *, rehash: bool = True
    ) -> _OpenUpload | Run:
        """Open an upload. If the call is cancelled meanwhile, close what a thread may have opened by then."""
        opening = self._background.start(self._open(header, owner, upload_id, rehash=rehash))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._background.start(self._close_when_open(opening))
            raise

    async def _close_when_open(self, opening: asyncio.Task[_OpenUpload | Run]) -> None:
        opened = await opening
        if isinstance(opened, _OpenUpload):
            await self._close(opened, None)

    async def _open(self, header: UploadHeader, owner: str, upload_id: UUID, *, rehash: bool) -> _OpenUpload | Run:
        """Create or resume an upload; or return its run, if an earlier stream has just finished it."""
        upload = await self._blocking.run(self._repository.begin, header, owner, upload_id)
        part = await self._open_part(upload_id)
        try:
            run = await self._blocking.run(self._repository.find_finished, upload_id, owner)
            if run is None:
                receiver = Receiver(part, self._receiver_limits(header), self._blocking)
                if part.size and rehash:
                    stored = await self._blocking.run(self._blobs.open_part_for_reading, upload_id)
                    await receiver.resume(stored)
                return _OpenUpload(upload, header, part, receiver)
        except BaseException:  # an open part is locked for other streams
            await self._blocking.run(part.close)
            raise
        await self._blocking.run(part.close)
        await self._delete_part(upload_id)
        compare(run, header.sha256, header.size_bytes)
        return run

    async def _delete_part(self, upload_id: UUID) -> None:
        """Delete a part that is not needed any more; a stream that has opened it meanwhile will delete it too."""
        with contextlib.suppress(Conflict):
            await self._blocking.run(self._blobs.delete_part, upload_id)

    async def _open_part(self, upload_id: UUID) -> PartWriter:
        give_up = asyncio.get_running_loop().time() + self._busy_seconds
        while True:
            try:
                return await self._blocking.run(self._blobs.open_part, upload_id)
            except Conflict:
                if asyncio.get_running_loop().time() >= give_up:
                    raise
            await asyncio.sleep(BUSY_POLL_SECONDS)

    async def _fill(self, opened: _OpenUpload, chunks: AsyncIterator[Chunk]) -> None:
        clock = asyncio.get_running_loop().time
        next_touch = clock() + self._settings.upload_ttl_seconds / 4
        async for chunk in chunks:
            await opened.receiver.add(chunk)
            if clock() > next_touch:
                next_touch = clock() + self._settings.upload_ttl_seconds / 4
                await self._blocking.run(self._repository.touch, opened.upload.id, opened.part.size)

    async def _complete(self, opened: _OpenUpload) -> Run:
        """Insert the run. Runs in the background: a cancelled call does not interrupt it."""
        try:
            sha256 = await opened.receiver.finish()
            _check(opened.header, opened.part.size, sha256, opened.receiver.announced_sha256)
            run, is_new = await self._blocking.run(
                self._repository.commit, opened.upload, opened.header, opened.part, sha256
            )
        except BaseException as error:
            await self._close(opened, error.reason if isinstance(error, FacnetError) else None)
            raise
        await self._blocking.run(opened.part.close)
        if is_new:
            self._dispatcher.send(run.id)
        else:
            await self._delete_part(opened.upload.id)
        return run

    async def _close(self, opened: _OpenUpload, reason: Reason | None) -> int:
        """Close the upload for a later stream, or delete it if `reason` makes it unusable; return its size in bytes."""
        size = 0
        with contextlib.suppress(FacnetError):  # the client gets the first error; these bytes were not acknowledged
            size = await opened.receiver.close()
        with contextlib.suppress(FacnetError):
            if reason in UNUSABLE:
                await self._blocking.run(self._repository.delete, opened.upload.id)
            else:
                await self._blocking.run(self._repository.touch, opened.upload.id, size or opened.part.size)
        return opened.part.size

    def _receiver_limits(self, header: UploadHeader) -> Limits:
        return Limits(self._settings.max_file_bytes, self._settings.max_chunk_bytes, header.size_bytes)


def _check(header: UploadHeader, size: int, sha256: str, announced: str | None) -> None:
    if size == 0:
        raise InvalidInput(Reason.EMPTY_FILE, field="chunk")
    if header.size_bytes not in (None, size):
        raise CorruptData(Reason.SIZE_MISMATCH, expected=header.size_bytes or 0, actual=size)
    if header.sha256 not in (None, sha256) or announced not in (None, sha256):
        raise CorruptData(Reason.CHECKSUM_MISMATCH)
