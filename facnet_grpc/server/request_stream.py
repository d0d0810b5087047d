"""The messages of a client stream: an idle timeout, the detection of an interrupted stream, and draining."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from google.protobuf.message import Message

from facnet_grpc.errors import Reason, TransientError

DRAIN_BYTES = 64 << 20
DRAIN_SECONDS = 3.0
END_SECONDS = 0.01

Request = TypeVar("Request", bound=Message)


class RequestStream(Generic[Request]):
    """Reads messages one by one."""

    def __init__(
        self, messages: AsyncIterator[Request], idle_seconds: float, *, end_seconds: float = END_SECONDS
    ) -> None:
        """Wait at most `idle_seconds` for a message, and `end_seconds` in `confirm_end`."""
        self._messages = messages
        self._idle_seconds = idle_seconds
        self._end_seconds = end_seconds

    async def next(self) -> Request | None:
        """Return the next message, None at the end. Raises `TransientError` (DEADLINE_EXCEEDED) when idle too long."""
        try:
            async with asyncio.timeout(self._idle_seconds):
                return await anext(self._messages, None)
        except TimeoutError:
            raise TransientError(Reason.DEADLINE_EXCEEDED) from None

    async def confirm_end(self) -> None:
        """Wait after the last message: an interrupted stream looks ended for a moment, before its task is cancelled."""
        await asyncio.sleep(self._end_seconds)

    async def drain(self) -> None:
        """Read and discard messages for a bounded time and size, before the call ends with an error.

        Otherwise grpc.aio clients that are still writing would see INTERNAL instead of the status.
        """
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                async for message in self._messages:
                    size += message.ByteSize()
                    if size > DRAIN_BYTES:
                        return
