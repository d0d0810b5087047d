"""The bytes of one upload on their way to the disk: checked, hashed and written in order.

Hashing, writing and waiting for the disk take a thread each, so that none of them waits for another. At any moment an
upload holds one message being read, at most `FLUSH_BYTES` and a chunk waiting, and as much again being written: under
4 MiB. The next message is not read before there is room, which holds the client back.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import google_crc32c

from facnet_grpc import faults, metrics
from facnet_grpc.errors import CorruptData, LimitExceeded, Reason, WrongOffset
from facnet_grpc.server.executors import BlockingExecutor

FLUSH_BYTES = 256 << 10  # small chunks are gathered up to this before a thread is troubled
SYNC_BYTES = 8 << 20  # so that the last sync, which the client waits for, is short
# At the most, where the disk is slower than the client, beside as many that are being synced: no more may be lost with
# a machine than is looked through when the upload goes on (`frames.CHECKED_BYTES`).
UNSYNCED_BYTES = 24 << 20
READ_BYTES = 1 << 20


class Sink(Protocol):
    """Takes bytes: a part of the blob store, or `Nowhere`."""

    @property
    def size(self) -> int:
        """Bytes taken so far, earlier ones included."""

    def write(self, data: bytes | memoryview) -> None:
        """Take all of `data`."""

    def sync(self) -> None:
        """Return once everything is safe."""

    def close(self) -> None:
        """End."""


class NullSink:
    """A sink for a file that is already here: it is only hashed."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Count."""
        self.size += len(data)

    def sync(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken, in bytes. `announced` is the size that the client said, if it did."""

    max_file: int
    max_chunk: int
    announced: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of a file, and where they begin; `file_sha256` is that of the whole file, which may come with the last."""

    offset: int
    data: bytes
    crc32c: int | None = None
    file_sha256: str | None = None


class Receiver:
    """Receives one file into a sink. One task at a time."""

    def __init__(self, sink: Sink, limits: Limits, blocking: BlockingExecutor) -> None:
        self._sink = sink
        self._limits = limits
        self._blocking = blocking
        self._hash = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._storing: asyncio.Future[tuple[None, None]] | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._unsynced = 0
        self.received = sink.size
        self.told_sha256: str | None = None  # by the last chunk

    async def go_on(self, stored: BinaryIO) -> None:
        """Hash what an earlier stream has stored, before anything is added."""
        await self._blocking.run(self._rehash, stored)

    async def add(self, chunk: Chunk) -> None:
        """Take a chunk. Raises `WrongOffset`, `LimitExceeded`, `CorruptData`, and what storing earlier ones raised."""
        self._check(chunk)
        self.told_sha256 = chunk.file_sha256 or self.told_sha256
        if not chunk.data:
            return
        self.received += len(chunk.data)
        metrics.UPLOAD_BYTES.inc(len(chunk.data))
        self._waiting.append(chunk.data)
        self._waiting_bytes += len(chunk.data)
        if self._waiting_bytes >= FLUSH_BYTES:
            await self._flush()

    async def finish(self) -> str:
        """Return the SHA-256 of the file, as hexadecimal digits, once all of it is on the disk."""
        await self._settle()
        await self._blocking.run(self._sink.sync)
        faults.point("server.upload.synced")
        return self._hash.hexdigest()

    async def close(self) -> int:
        """End, whatever became of it, keeping what arrived; return how many bytes are safely stored."""
        try:
            await self._settle()
        finally:
            await self._blocking.run(self._end)
        return self._sink.size

    def _check(self, chunk: Chunk) -> None:
        if chunk.offset != self.received:
            raise WrongOffset(expected=self.received, got=chunk.offset)
        size, limits = len(chunk.data), self._limits
        if size > limits.max_chunk:
            raise LimitExceeded(Reason.CHUNK_TOO_LARGE, max_bytes=limits.max_chunk)
        if self.received + size > limits.max_file:
            raise LimitExceeded(Reason.FILE_TOO_LARGE, max_bytes=limits.max_file)
        if limits.announced is not None and self.received + size > limits.announced:
            raise CorruptData(
                Reason.SIZE_MISMATCH,
                expected=limits.announced,
                actual=self.received + size,
            )
        if chunk.crc32c not in (None, google_crc32c.value(chunk.data)):  # takes no longer than copying it
            raise CorruptData(Reason.CHUNK_CORRUPT, offset=chunk.offset)

    async def _flush(self) -> None:
        """Begin to store what waits, once all before it is stored."""
        await self._stored()
        if self._waiting:
            data, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
            self._storing = asyncio.gather(
                self._blocking.run(self._store, data), self._blocking.run(self._hash.update, data)
            )
            await self._sync_behind(len(data))

    async def _settle(self) -> None:
        """Wait until all of it is stored, and nothing is going on any more."""
        try:
            await self._flush()
            await self._stored()
        finally:
            await self._synced()

    async def _sync_behind(self, written: int) -> None:
        """Have the disk write while more arrives."""
        self._unsynced += written
        is_syncing = self._syncing is not None and not self._syncing.done()
        if self._unsynced >= (UNSYNCED_BYTES if is_syncing else SYNC_BYTES):
            await self._synced()
            self._syncing = self._blocking.run(self._sink.sync)
            self._unsynced = 0

    # Shielded: the threads go on whatever becomes of this task, and whoever closes has to wait for them.

    async def _stored(self) -> None:
        if self._storing is not None:
            await asyncio.shield(self._storing)
            self._storing = None

    async def _synced(self) -> None:
        if self._syncing is not None:
            await asyncio.shield(self._syncing)
            self._syncing = None

    def _store(self, data: bytes) -> None:
        self._sink.write(data)
        faults.point("server.upload.chunk_written")

    def _end(self) -> None:
        try:
            self._sink.sync()
        finally:
            self._sink.close()

    def _rehash(self, stored: BinaryIO) -> None:
        with stored:
            while block := stored.read(READ_BYTES):
                self._hash.update(block)
