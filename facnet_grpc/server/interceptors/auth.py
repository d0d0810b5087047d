"""Says who calls, and turns away whoever may not make this call, before anything is done for them.

Holds every owner to its share: calls a minute, and calls open at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from facnet_grpc.errors import Forbidden, Unauthenticated
from facnet_grpc.logs import get_logger
from facnet_grpc.server.access.identity import Identity
from facnet_grpc.server.access.limits import OpenCalls, RateLimiter
from facnet_grpc.server.access.roles import PUBLIC, check
from facnet_grpc.server.interceptors.chain import Call, Interceptor
from facnet_grpc.server.request_context import CURRENT, current

log = get_logger(__name__)


def auth(identity: Identity) -> Interceptor:
    """Return the interceptor, which binds the caller to the call."""

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
