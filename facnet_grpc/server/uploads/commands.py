"""From a stream of chunks to a run: the promise that a file once accepted is kept and will be worked on.

The order of things is what the promise rests on. The row of the upload comes before its part; the part is on the disk
before the run is written; part becomes blob within the run's transaction, just before it commits; the job is sent after
it. Killed anywhere, this leaves a part to go on with, or a blob that belongs to nobody and is removed later, or a run
with its blob, which the workers' reconciler queues.
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
from facnet_grpc.server.uploads.repository import UploadLimits, UploadRepository, compare
from facnet_grpc.storage.blobs.api import BlobStore, PartWriter

BUSY_SECONDS = 5.0  # how long a new stream waits for a broken one to let go of the same upload
BUSY_POLL_SECONDS = 0.05
# After these the bytes are of no use to anybody.
HOPELESS = frozenset(
    {
        Reason.FILE_TOO_LARGE,
        Reason.SIZE_MISMATCH,
        Reason.CHECKSUM_MISMATCH,
        Reason.EMPTY_FILE,
        Reason.IDEMPOTENCY_CONFLICT,
    },
)


@dataclass(frozen=True, slots=True)
class _Opened:
    upload: Upload
    header: UploadHeader
    part: PartWriter
    receiver: Receiver


class Uploads:
    """Takes files. `chunks` given to it are read to their end, or up to the first error."""

    def __init__(
        self,
        *,
        ledger: UploadRepository,
        blobs: BlobStore,
        blocking: BlockingExecutor,
        background: BackgroundTasks,
        dispatcher: Dispatcher,
        limits: UploadLimits,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._blocking = blocking
        self._background = background
        self._dispatcher = dispatcher
        self._limits = limits

    async def get(self, upload_id: UUID, owner: str) -> tuple[Upload, int]:
        """Return an upload and its bytes that are safely stored. Raises `NotFound`."""
        return await self._blocking.run(self._ledger.get, upload_id, owner)

    async def earlier(self, header: UploadHeader, owner: str) -> Run | None:
        """Return the run that this very upload has become already. Raises `Conflict` if it was another file."""
        if header.upload_id is None:
            return None
        run = await self._blocking.run(self._ledger.find_finished, header.upload_id, owner)
        if run is not None:
            compare(run, header.sha256, header.size_bytes)
        return run

    async def receive(self, header: UploadHeader, owner: str, upload_id: UUID, chunks: AsyncIterator[Chunk]) -> Run:
        """Take a file and return its run, new or known by its idempotency key.

        Raises the errors of `Receiver`, `InvalidInput` (EMPTY_FILE), `CorruptData` (size or checksum differ from
        what the client said), `Conflict`, `NotFound` (somebody else's upload), `LimitExceeded`, `TransientError`.
        """
        self._refuse_too_large(header)
        known = await self._blocking.run(self._ledger.find_by_key, header.idempotency_key, owner)
        with metrics.UPLOADS_OPEN.track_inprogress():
            if known is not None:
                return await self._hash_only(known, header, chunks)
            opened = await self._opened(header, owner, upload_id)
            if isinstance(opened, Run):
                return opened
            faults.point("server.upload.opened")
            async with self._kept(opened):
                await self._fill(opened, chunks)
            return await asyncio.shield(self._background.start(self._complete(opened)))

    async def append(
        self, header: UploadHeader, owner: str, upload_id: UUID, chunk: Chunk | None, *, finish: bool
    ) -> tuple[int, Run | None]:
        """Take one chunk of a file, and perhaps its end; return the bytes safely stored, and the run once there is one.

        The same upload may be gone on with by `receive`, and the other way round. Raises what `receive` raises.
        """
        self._refuse_too_large(header)
        # Only the end needs to know what the bytes before it were.
        opened = await self._opened(header, owner, upload_id, rehash=finish)
        if isinstance(opened, Run):
            return opened.size_bytes, opened
        async with self._kept(opened):
            if chunk is not None:
                await opened.receiver.add(chunk)
            if not finish:
                await opened.receiver.finish()
        if not finish:
            return await asyncio.shield(self._background.start(self._leave(opened, None))), None
        run = await asyncio.shield(self._background.start(self._complete(opened)))
        return run.size_bytes, run

    def _refuse_too_large(self, header: UploadHeader) -> None:
        if header.size_bytes is not None and header.size_bytes > self._limits.max_file:
            raise LimitExceeded(Reason.FILE_TOO_LARGE, max_bytes=self._limits.max_file)

    @contextlib.asynccontextmanager
    async def _kept(self, opened: _Opened) -> AsyncIterator[None]:
        """Leave the upload in order if what is done within fails: it can be gone on with."""
        try:
            yield
        except FacnetError as error:
            await asyncio.shield(self._background.start(self._leave(opened, error.reason)))
            raise
        except BaseException:  # the stream broke, or the server stops
            self._background.start(self._leave(opened, None))
            raise

    async def _hash_only(self, known: Run, header: UploadHeader, chunks: AsyncIterator[Chunk]) -> Run:
        receiver = Receiver(NullSink(), self._receiver_limits(header), self._blocking)
        async for chunk in chunks:
            await receiver.add(chunk)
        size = receiver.received
        sha256 = await receiver.finish()
        _check(header, size, sha256, receiver.told_sha256)
        compare(known, sha256, size)
        return known

    async def _opened(self, header: UploadHeader, owner: str, upload_id: UUID, *, rehash: bool = True) -> _Opened | Run:
        """Open an upload; if the call is cancelled meanwhile, close again what a thread may have opened by then."""
        opening = self._background.start(self._open(header, owner, upload_id, rehash=rehash))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._background.start(self._close_again(opening))
            raise

    async def _close_again(self, opening: asyncio.Task[_Opened | Run]) -> None:
        opened = await opening
        if isinstance(opened, _Opened):
            await self._leave(opened, None)

    async def _open(self, header: UploadHeader, owner: str, upload_id: UUID, *, rehash: bool) -> _Opened | Run:
        """Begin an upload or go on with it; or return its run, if an earlier stream was just finishing it."""
        upload = await self._blocking.run(self._ledger.begin, header, owner, upload_id)
        part = await self._part(upload_id)
        try:
            run = await self._blocking.run(self._ledger.find_finished, upload_id, owner)
            if run is None:
                receiver = Receiver(part, self._receiver_limits(header), self._blocking)
                if part.size and rehash:
                    stored = await self._blocking.run(self._blobs.open_part_for_reading, upload_id)
                    await receiver.go_on(stored)
                return _Opened(upload, header, part, receiver)
        except BaseException:  # nobody else may write to it before it is closed
            await self._blocking.run(part.close)
            raise
        await self._blocking.run(part.close)
        await self._forget_part(upload_id)
        compare(run, header.sha256, header.size_bytes)
        return run

    async def _forget_part(self, upload_id: UUID) -> None:
        """Remove a part that nobody needs any more; a stream that has opened it meanwhile comes to do the same."""
        with contextlib.suppress(Conflict):
            await self._blocking.run(self._blobs.delete_part, upload_id)

    async def _part(self, upload_id: UUID) -> PartWriter:
        give_up = asyncio.get_running_loop().time() + BUSY_SECONDS
        while True:
            try:
                return await self._blocking.run(self._blobs.open_part, upload_id)
            except Conflict:
                if asyncio.get_running_loop().time() >= give_up:
                    raise
            await asyncio.sleep(BUSY_POLL_SECONDS)

    async def _fill(self, opened: _Opened, chunks: AsyncIterator[Chunk]) -> None:
        clock = asyncio.get_running_loop().time
        keep_again = clock() + self._limits.ttl_seconds / 4
        async for chunk in chunks:
            await opened.receiver.add(chunk)
            if clock() > keep_again:
                keep_again = clock() + self._limits.ttl_seconds / 4
                await self._blocking.run(self._ledger.keep, opened.upload.id, opened.part.size)

    async def _complete(self, opened: _Opened) -> Run:
        """Make the run. Not cancelled with the call: from here on it goes through, or nothing of it is seen."""
        try:
            sha256 = await opened.receiver.finish()
            _check(opened.header, opened.part.size, sha256, opened.receiver.told_sha256)
            run, is_new = await self._blocking.run(
                self._ledger.commit, opened.upload, opened.header, opened.part, sha256
            )
        except BaseException as error:
            await self._leave(opened, error.reason if isinstance(error, FacnetError) else None)
            raise
        await self._blocking.run(opened.part.close)
        if is_new:
            self._dispatcher.send(run.id)
        else:
            await self._forget_part(opened.upload.id)
        return run

    async def _leave(self, opened: _Opened, reason: Reason | None) -> int:
        """Keep what arrived for the next stream, or drop it if there cannot be one; return how many bytes it is."""
        size = 0
        with contextlib.suppress(FacnetError):  # the client hears of the first error; these bytes were not promised
            size = await opened.receiver.close()
        with contextlib.suppress(FacnetError):
            if reason in HOPELESS:
                await self._blocking.run(self._ledger.drop, opened.upload.id)
            else:
                await self._blocking.run(self._ledger.keep, opened.upload.id, size or opened.part.size)
        return opened.part.size

    def _receiver_limits(self, header: UploadHeader) -> Limits:
        return Limits(self._limits.max_file, self._limits.max_chunk, header.size_bytes)


def _check(header: UploadHeader, size: int, sha256: str, told: str | None) -> None:
    if size == 0:
        raise InvalidInput(Reason.EMPTY_FILE, field="chunk")
    if header.size_bytes not in (None, size):
        raise CorruptData(Reason.SIZE_MISMATCH, expected=header.size_bytes or 0, actual=size)
    if header.sha256 not in (None, sha256) or told not in (None, sha256):
        raise CorruptData(Reason.CHECKSUM_MISMATCH)
