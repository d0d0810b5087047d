"""One log line a call: whose it is, method, status, milliseconds. Nothing of what was said in it.

The owner is a tenant, not a person; who called for it is in `phi_access_log`, where it matters.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from facnet_grpc.logs import get_logger
from facnet_grpc.server.interceptors.chain import Call
from facnet_grpc.server.interceptors.outcome import outcome

log = get_logger(__name__)

QUIET = ("/grpc.health.", "/grpc.reflection.")  # probes come every few seconds: below the level that is kept


@asynccontextmanager
async def access_log(call: Call) -> AsyncIterator[None]:
    """Log how a call ended, whichever way."""
    began = time.perf_counter()
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        write = log.debug if call.method.startswith(QUIET) else log.info
        elapsed = round((time.perf_counter() - began) * 1000, 1)
        owner = {"owner": call.owner} if call.owner else {}
        write("call", method=call.method, code=outcome(call, failure).name, milliseconds=elapsed, **owner)
