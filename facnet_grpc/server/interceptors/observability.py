"""How a call ended, for those interceptors that count, log and trace it.

A span for every call, under the caller's own if it sends one (W3C `traceparent`).

One log line a call: whose it is, method, status, milliseconds. Nothing of what was said in it.

The owner is a tenant, not a person; who called for it is in `phi_access_log`, where it matters.

Counts and times every call, under the names that Prometheus dashboards for gRPC know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc
from opentelemetry.trace import SpanKind

from facnet_grpc import metrics, tracing
from facnet_grpc.logs import get_logger
from facnet_grpc.server.interceptors.chain import Call, Interceptor

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


@asynccontextmanager
async def call_trace(call: Call) -> AsyncIterator[None]:
    """Surround a call; probes are left out."""
    if call.method.startswith(QUIET):
        yield
        return
    parent = tracing.extract(call.metadata(tracing.HEADER))
    name = call.method.removeprefix("/")
    with (
        tracing.span(name, kind=SpanKind.SERVER, parent=parent, rpc__system="grpc", rpc__method=name) as span,
        told(call, lambda code: span.set_attribute("rpc.grpc.status_code", code.value[0])),
    ):
        yield


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


def call_metrics(known_methods: Collection[str]) -> Interceptor:
    """Return the interceptor. Methods other than `known_methods` (`/service/method`) share one label, `unknown`."""

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        labels = (*_names(call.method, known_methods), "unary" if call.unary else "stream")
        metrics.GRPC_STARTED.labels(*labels).inc()
        began = time.perf_counter()

        def count(code: grpc.StatusCode) -> None:
            metrics.GRPC_SECONDS.labels(*labels).observe(time.perf_counter() - began, tracing.exemplar())
            metrics.GRPC_HANDLED.labels(*labels, code.name).inc()

        with told(call, count):
            yield

    return around


def _names(method: str, known: Collection[str]) -> tuple[str, str]:
    if method not in known:
        return "unknown", "unknown"
    _, service, name = method.split("/")
    return service, name
