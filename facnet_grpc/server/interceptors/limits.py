"""Holds every owner to its share: calls a minute, and calls open at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from facnet_grpc.server.access.limits import OpenCalls, RateLimiter
from facnet_grpc.server.access.table import PUBLIC
from facnet_grpc.server.interceptors.chain import Call, Interceptor
from facnet_grpc.server.request import current


def limits(rate: RateLimiter, open_calls: OpenCalls) -> Interceptor:
    """Return the interceptor. Calls that anybody may make belong to no owner and are not counted."""

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        if call.method in PUBLIC:
            yield
            return
        owner = current().caller.owner
        with open_calls.one(owner):
            await rate.count(owner)
            yield

    return around
