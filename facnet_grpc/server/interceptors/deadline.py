"""Gives a deadline to unary calls that bring none, so that a forgotten call holds nothing for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from facnet_grpc.errors import Reason, TransientError
from facnet_grpc.server.interceptors.chain import Call, Interceptor


def deadline(seconds: float) -> Interceptor:
    """Return the interceptor. A deadline that the caller brings is kept by gRPC itself, which cancels the call."""

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        bound = seconds if call.unary and call.context.time_remaining() is None else None
        limit = asyncio.timeout(bound)
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise TransientError(Reason.DEADLINE_EXCEEDED, seconds=seconds) from None

    return around
