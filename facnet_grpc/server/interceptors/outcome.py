"""How a call ended, for those interceptors that count, log and trace it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from facnet_grpc.server.interceptors.chain import Call

_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


@contextmanager
def told(call: Call, tell: Callable[[grpc.StatusCode], None]) -> Iterator[None]:
    """Surround a call, and tell how it ended, whichever way."""
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        tell(_outcome(call, failure))


def _outcome(call: Call, error: BaseException | None) -> grpc.StatusCode:
    """Return the status that a call ends with, given what came out of it."""
    if isinstance(error, asyncio.CancelledError):
        return grpc.StatusCode.CANCELLED
    code = call.context.code()
    known = code if isinstance(code, grpc.StatusCode) else _BY_NUMBER.get(code or 0, grpc.StatusCode.UNKNOWN)
    return grpc.StatusCode.UNKNOWN if error and known is grpc.StatusCode.OK else known
