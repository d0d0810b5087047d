"""One log line a call: whose it is, method, status, milliseconds. Nothing of what was said in it.

The owner is a tenant, not a person; who called for it is in `phi_access_log`, where it matters.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from facnet_grpc.logs import get_logger
from facnet_grpc.server.interceptors.chain import Call
from facnet_grpc.server.interceptors.outcome import told

log = get_logger(__name__)

QUIET = ("/grpc.health.", "/grpc.reflection.")  # probes come every few seconds: below the level that is kept


@asynccontextmanager
async def access_log(call: Call) -> AsyncIterator[None]:
    """Log how a call ended, whichever way."""
    began = time.perf_counter()

    def write(code: grpc.StatusCode) -> None:
        level = log.debug if call.method.startswith(QUIET) else log.info
        elapsed = round((time.perf_counter() - began) * 1000, 1)
        owner = {"owner": call.owner} if call.owner else {}
        level("call", method=call.method, code=code.name, milliseconds=elapsed, **owner)

    with told(call, write):
        yield
