"""The bytes of one upload on their way to a sink that is slow, or fails."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from facnet_grpc.errors import CorruptData, LimitExceeded, Reason
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.uploads.receiver import FLUSH_BYTES, Chunk, Limits, Receiver
from facnet_grpc.settings.process import UploadSettings
from facnet_grpc.storage.blobs import frame_format

T = TypeVar("T")
BIG = 1 << 40
PIECE = FLUSH_BYTES


class Sink:
    """Keeps what it is given; a test may hold up or break what it does."""

    def __init__(self) -> None:
        self.stored = bytearray()
        self.synced = 0
        self.is_closed = False
        self.inside = 0
        self.may_sync = threading.Event()
        self.may_sync.set()
        self.entered_sync = threading.Event()
        self.fails: dict[str, Exception] = {}

    @property
    def size(self) -> int:
        return len(self.stored)

    def write(self, data: bytes | memoryview) -> None:
        if "write" in self.fails:
            raise self.fails["write"]
        self.stored += data

    def sync(self) -> None:
        self.inside += 1
        size = len(self.stored)
        self.entered_sync.set()
        assert self.may_sync.wait(30)
        self.inside -= 1
        if "sync" in self.fails:
            raise self.fails["sync"]
        self.synced = max(self.synced, size)

    def close(self) -> None:
        assert not self.inside, "nobody is at it any more"
        self.is_closed = True


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def run(sink: Sink) -> Iterator[Callable[[Callable[[Receiver], Awaitable[T]]], T]]:
    """Runs a test's coroutine function with a receiver into `sink` that syncs after each piece by default."""

    def go(use: Callable[[Receiver], Awaitable[T]], **sizes: int) -> T:
        async def inside() -> T:
            blocking = BlockingExecutor(4)
            try:
                return await use(Receiver(sink, Limits(BIG, BIG), blocking, **{"sync_bytes": PIECE, **sizes}))
            finally:
                blocking.close()

        return asyncio.run(asyncio.wait_for(inside(), 30))

    return go


def chunks(data: bytes, size: int) -> Iterator[Chunk]:
    for offset in range(0, len(data), size):
        yield Chunk(offset, data[offset : offset + size])


@pytest.mark.parametrize("size", [1000, PIECE - 1, PIECE, 3 * PIECE])
def test_what_arrives_is_stored_and_hashed_in_order(sink, run, size) -> None:
    data = os.urandom(5 * PIECE + 17)

    async def send(receiver: Receiver) -> str:
        for chunk in chunks(data, size):
            await receiver.add(chunk)
        return await receiver.finish()

    assert run(send) == hashlib.sha256(data).hexdigest()
    assert sink.stored == data
    assert sink.synced == len(data)


def test_a_slow_disk_does_not_hold_up_what_arrives_until_too_much_waits_for_it(sink, run) -> None:
    data = os.urandom(8 * PIECE)
    sink.may_sync.clear()

    async def send(receiver: Receiver) -> None:
        rest = chunks(data, PIECE)
        for _ in range(4):  # the first is being synced, three more wait
            await receiver.add(next(rest))
        assert await asyncio.to_thread(sink.entered_sync.wait, 30)
        adding = asyncio.create_task(receiver.add(next(rest)))
        done, _ = await asyncio.wait({adding}, timeout=0.2)
        assert not done, "as much as may wait for the disk does"
        sink.may_sync.set()
        await adding
        for chunk in rest:
            await receiver.add(chunk)
        await receiver.finish()

    run(send, unsynced_bytes=4 * PIECE)
    assert sink.synced == len(data)


class HaltingDisk:
    """A sink whose syncs return one at a time, when a test lets them. It only counts."""

    def __init__(self) -> None:
        self.size = self.synced = 0
        self.may_return = threading.Semaphore(0)

    def write(self, data: bytes | memoryview) -> None:
        self.size += len(data)

    def sync(self) -> None:
        size = self.size
        assert self.may_return.acquire(timeout=30)
        self.synced = size

    def close(self) -> None:
        pass


def test_no_more_may_be_lost_with_a_machine_than_is_looked_through_afterwards() -> None:
    disk, blocking = HaltingDisk(), BlockingExecutor(4)
    chunk = bytes(UploadSettings.model_fields["max_chunk_bytes"].default)

    async def fill() -> None:
        receiver = Receiver(disk, Limits(BIG, BIG), blocking)
        for _ in range(3):
            done = {None}
            while done:
                adding = asyncio.create_task(receiver.add(Chunk(receiver.received, chunk)))
                done, _ = await asyncio.wait({adding}, timeout=0.3)
            assert disk.size - disk.synced < frame_format.CHECKED_BYTES
            disk.may_return.release()
            await adding
        disk.may_return.release(9)
        await receiver.close()

    asyncio.run(asyncio.wait_for(fill(), 30))
    blocking.close()
    assert disk.size > frame_format.CHECKED_BYTES


def test_a_disk_that_fails_behind_is_not_forgotten(sink, run) -> None:
    sink.fails["sync"] = LimitExceeded(Reason.DISK_FULL)

    async def send(receiver: Receiver) -> None:
        await receiver.add(Chunk(0, bytes(PIECE)))
        await receiver.finish()

    with pytest.raises(LimitExceeded):
        run(send)


def test_closing_waits_for_what_is_going_on_also_after_a_failure(sink, run) -> None:
    sink.may_sync.clear()

    async def send(receiver: Receiver) -> None:
        await receiver.add(Chunk(0, bytes(PIECE)))
        sink.fails["write"] = LimitExceeded(Reason.DISK_FULL)
        await receiver.add(Chunk(PIECE, bytes(PIECE)))
        closing = asyncio.create_task(receiver.close())
        done, _ = await asyncio.wait({closing}, timeout=0.2)
        assert not done
        sink.may_sync.set()
        await closing

    with pytest.raises(LimitExceeded):
        run(send)
    assert sink.is_closed
    assert sink.stored == bytes(PIECE)


def test_a_chunk_that_is_damaged_is_not_stored_and_those_before_it_are(sink, run) -> None:
    async def send(receiver: Receiver) -> int:
        await receiver.add(Chunk(0, b"sound"))
        with pytest.raises(CorruptData) as caught:
            await receiver.add(Chunk(5, b"damaged", crc32c=1))
        assert caught.value.params == {"offset": 5}
        return await receiver.close()

    assert run(send) == 5
    assert sink.stored == b"sound"
