"""Gives every call an end, so that a forgotten one holds nothing for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from facnet_grpc.errors import Reason, TransientError
from facnet_grpc.server.interceptors.chain import Call, Interceptor

SPREAD = 0.1  # streams that began together do not end together


def deadline(seconds: float, stream_seconds: float) -> Interceptor:
    """Return the interceptor: `seconds` for unary calls that bring no deadline, `stream_seconds` for all streams.

    A deadline that the caller brings is kept by gRPC itself, which cancels the call. A stream that is ended here is
    taken up again by the client, with its cursor or its offset, and with a token that is still good.
    """

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        limit = asyncio.timeout(_bound(call, seconds, stream_seconds))
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise TransientError(Reason.DEADLINE_EXCEEDED, seconds=seconds) from None

    return around


def _bound(call: Call, seconds: float, stream_seconds: float) -> float | None:
    if not call.unary:
        return stream_seconds * random.uniform(1 - SPREAD, 1)  # noqa: S311 - spreads clients, keeps no secret
    return seconds if call.context.time_remaining() is None else None
