"""Decides whether a call is let in: authentication, role, the owner's limits, and a deadline for what is let in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from facnet_grpc.errors import Forbidden, Reason, TransientError, Unauthenticated
from facnet_grpc.logs import get_logger
from facnet_grpc.server.access.identity import Identity
from facnet_grpc.server.access.limits import OpenCalls, RateLimiter
from facnet_grpc.server.access.roles import PUBLIC, check
from facnet_grpc.server.interceptors.chain import Call, Interceptor
from facnet_grpc.server.request_context import CURRENT, current

log = get_logger(__name__)

STREAM_JITTER = 0.1  # part of a stream's limit: streams that began together do not end together


def auth(identity: Identity) -> Interceptor:
    """Return the interceptor that authenticates the caller, checks the role and binds the caller to the call.

    It raises `Unauthenticated`, `Forbidden`, or `TransientError` if the signing keys were never read.
    """

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        if call.method in PUBLIC:
            yield
            return
        try:
            caller = await identity.caller(call)
            call.owner = caller.label
            check(call.method, caller)
        except (Unauthenticated, Forbidden) as error:
            log.warning("call_refused", method=call.method, reason=error.reason, why=error.params.get("why", "role"))
            raise
        token = CURRENT.set(replace(current(), caller=caller))
        try:
            yield
        finally:
            CURRENT.reset(token)

    return around


def limits(rate: RateLimiter, open_calls: OpenCalls) -> Interceptor:
    """Return the interceptor that applies an owner's call rate and number of open calls; public calls are not counted.

    It raises `LimitExceeded` (RATE_LIMITED, TOO_MANY_CALLS).
    """

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        if call.method in PUBLIC:
            yield
            return
        owner = current().caller.owner
        with open_calls.track(owner):
            await rate.count(owner)
            yield

    return around


def deadline(seconds: float, stream_seconds: float) -> Interceptor:
    """Return the interceptor that ends unary calls without a deadline of their own, and all streams.

    It raises `TransientError` (DEADLINE_EXCEEDED). gRPC itself enforces a deadline that the client set. The client
    resumes a stream that was ended here with its cursor or its offset, and with a token that is still valid.
    """

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        limit = asyncio.timeout(_limit(call, seconds, stream_seconds))
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise TransientError(Reason.DEADLINE_EXCEEDED, seconds=seconds) from None

    return around


def _limit(call: Call, seconds: float, stream_seconds: float) -> float | None:
    if not call.unary:
        return stream_seconds * random.uniform(1 - STREAM_JITTER, 1)  # noqa: S311 - spreads clients, keeps no secret
    return seconds if call.context.time_remaining() is None else None
