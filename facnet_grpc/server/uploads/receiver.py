"""Checks, hashes and writes the chunks of one upload in order.

Hashing, writing and fsync use a thread each, so that none waits for another. An upload holds at most one message being
read, `FLUSH_BYTES` and a chunk buffered, and as much again being written: under 4 MiB. The next message is not read
before there is room in the buffer (backpressure).
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

FLUSH_BYTES = 256 << 10  # small chunks are buffered up to this size before a thread writes them
SYNC_BYTES = 8 << 20  # fsync after so many bytes, so that the last one, which the client waits for, is short
# Limit where the disk is slower than the client, in addition to as many bytes being synced: a crash of the machine may
# lose no more than is checked when the upload is resumed (`frame_format.CHECKED_BYTES`).
UNSYNCED_BYTES = 24 << 20
READ_BYTES = 1 << 20


class Sink(Protocol):
    """Takes bytes: a part of the blob store, or `NullSink`."""

    @property
    def size(self) -> int:
        """Bytes stored so far, those of earlier streams included."""

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`."""

    def sync(self) -> None:
        """Return once everything is on the disk."""

    def close(self) -> None:
        """Close it."""


class NullSink:
    """Discards a file that is already stored and only has to be hashed."""

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
    """Limits in bytes. `announced` is the file size that the client sent, if it did."""

    max_file: int
    max_chunk: int
    announced: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of a file from `offset` on; the last chunk may carry the SHA-256 of the whole file."""

    offset: int
    data: bytes
    crc32c: int | None = None
    file_sha256: str | None = None


class Receiver:
    """Receives one file into a sink. Used by one task at a time."""

    def __init__(
        self,
        sink: Sink,
        limits: Limits,
        blocking: BlockingExecutor,
        *,
        sync_bytes: int = SYNC_BYTES,
        unsynced_bytes: int = UNSYNCED_BYTES,
    ) -> None:
        self._sink = sink
        self._limits = limits
        self._blocking = blocking
        self._sync_bytes = sync_bytes
        self._unsynced_bytes = unsynced_bytes
        self._hash = hashlib.sha256()
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._storing: asyncio.Future[tuple[None, None]] | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._unsynced = 0
        self.received = sink.size
        self.announced_sha256: str | None = None  # from the last chunk

    async def resume(self, stored: BinaryIO) -> None:
        """Hash the bytes that earlier streams have stored, before any chunk is added."""
        await self._blocking.run(self._rehash, stored)

    async def add(self, chunk: Chunk) -> None:
        """Take a chunk. Raises `WrongOffset`, `LimitExceeded`, `CorruptData`, and the errors of earlier writes."""
        self._check(chunk)
        self.announced_sha256 = chunk.file_sha256 or self.announced_sha256
        if not chunk.data:
            return
        self.received += len(chunk.data)
        metrics.UPLOAD_BYTES.inc(len(chunk.data))
        self._buffer.append(chunk.data)
        self._buffered += len(chunk.data)
        if self._buffered >= FLUSH_BYTES:
            await self._flush()

    async def finish(self) -> str:
        """Return the SHA-256 of the file in hexadecimal digits, once all of it is on the disk."""
        await self._drain()
        await self._blocking.run(self._sink.sync)
        faults.point("server.upload.synced")
        return self._hash.hexdigest()

    async def close(self) -> int:
        """Write and sync what arrived, close the sink, and return the bytes that it stores."""
        try:
            await self._drain()
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
        if chunk.crc32c not in (None, google_crc32c.value(chunk.data)):  # as fast as a copy of the data
            raise CorruptData(Reason.CHUNK_CORRUPT, offset=chunk.offset)

    async def _flush(self) -> None:
        """Start to write the buffer, once the write before it has finished."""
        await self._stored()
        if self._buffer:
            data, self._buffer, self._buffered = b"".join(self._buffer), [], 0
            self._storing = asyncio.gather(
                self._blocking.run(self._store, data), self._blocking.run(self._hash.update, data)
            )
            await self._sync_in_background(len(data))

    async def _drain(self) -> None:
        """Write the buffer, and wait until no write and no sync is running."""
        try:
            await self._flush()
            await self._stored()
        finally:
            await self._synced()

    async def _sync_in_background(self, written: int) -> None:
        """Sync in the background while more arrives; wait first if too much is unsynced."""
        self._unsynced += written
        is_syncing = self._syncing is not None and not self._syncing.done()
        if self._unsynced >= (self._unsynced_bytes if is_syncing else self._sync_bytes):
            await self._synced()
            self._syncing = self._blocking.run(self._sink.sync)
            self._unsynced = 0

    # Shielded: the threads continue when this task is cancelled, and `close` has to wait for them.

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
