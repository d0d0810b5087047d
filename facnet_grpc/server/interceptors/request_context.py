"""Gives every call an id, its language, and log lines that carry both."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from uuid_utils import uuid7

from facnet_grpc.server.interceptors.chain import Call
from facnet_grpc.server.request_context import CURRENT, Request
from facnet_grpc.texts.language import pick

HEADER = "x-request-id"
USABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what a caller's own id may look like, since it ends up in our logs


@asynccontextmanager
async def request_id(call: Call) -> AsyncIterator[None]:
    """Take the caller's request id if it is usable, or make one; send it back when the call ends."""
    offered = call.metadata(HEADER)
    chosen = offered if offered and USABLE.fullmatch(offered) else str(uuid7())
    token = CURRENT.set(Request(chosen, pick(call.metadata("accept-language"))))
    call.context.set_trailing_metadata(((HEADER, chosen),))
    try:
        with structlog.contextvars.bound_contextvars(request_id=chosen):
            yield
    finally:
        CURRENT.reset(token)
