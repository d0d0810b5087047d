"""Request id, trace, log line and metrics of every call. None of them contains anything of a request or an answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc
import structlog
from opentelemetry.trace import SpanKind
from uuid_utils import uuid7

from facnet_grpc import metrics, tracing
from facnet_grpc.logs import get_logger
from facnet_grpc.server.interceptors.chain import Call, Interceptor
from facnet_grpc.server.request_context import CURRENT, REQUEST_ID_HEADER, Request
from facnet_grpc.texts.language import pick

log = get_logger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # a client's id in any other form is replaced: it ends up in our logs
QUIET = ("/grpc.health.", "/grpc.reflection.")  # probes come every few seconds: not traced, logged as debug
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@asynccontextmanager
async def request_id(call: Call) -> AsyncIterator[None]:
    """Bind the client's request id, or a new one, and the language; return the id in the trailers."""
    offered = call.metadata(REQUEST_ID_HEADER)
    chosen = offered if offered and REQUEST_ID.fullmatch(offered) else str(uuid7())
    token = CURRENT.set(Request(chosen, pick(call.metadata("accept-language"))))
    call.context.set_trailing_metadata(((REQUEST_ID_HEADER, chosen),))
    try:
        with structlog.contextvars.bound_contextvars(request_id=chosen):
            yield
    finally:
        CURRENT.reset(token)


@asynccontextmanager
async def call_trace(call: Call) -> AsyncIterator[None]:
    """Open a span for the call, as a child of the client's span if it sends a W3C `traceparent`."""
    if call.method.startswith(QUIET):
        yield
        return
    parent = tracing.extract(call.metadata(tracing.HEADER))
    name = call.method.removeprefix("/")
    with (
        tracing.span(name, kind=SpanKind.SERVER, parent=parent, rpc__system="grpc", rpc__method=name) as span,
        _on_end(call, lambda code: span.set_attribute("rpc.grpc.status_code", code.value[0])),
    ):
        yield


@asynccontextmanager
async def access_log(call: Call) -> AsyncIterator[None]:
    """Log one line when the call ends: owner (the tenant, no person), method, status, milliseconds."""
    began = time.perf_counter()

    def write(code: grpc.StatusCode) -> None:
        level = log.debug if call.method.startswith(QUIET) else log.info
        elapsed = round((time.perf_counter() - began) * 1000, 1)
        owner = {"owner": call.owner} if call.owner else {}
        level("call", method=call.method, code=code.name, milliseconds=elapsed, **owner)

    with _on_end(call, write):
        yield


def call_metrics(known_methods: Collection[str]) -> Interceptor:
    """Return the interceptor that counts and times calls, under the metric names that gRPC dashboards expect.

    Methods other than `known_methods` (`/service/method`) share one label, `unknown`.
    """

    @asynccontextmanager
    async def around(call: Call) -> AsyncIterator[None]:
        labels = (*_names(call.method, known_methods), "unary" if call.unary else "stream")
        metrics.GRPC_STARTED.labels(*labels).inc()
        began = time.perf_counter()

        def count(code: grpc.StatusCode) -> None:
            metrics.GRPC_SECONDS.labels(*labels).observe(time.perf_counter() - began, tracing.exemplar())
            metrics.GRPC_HANDLED.labels(*labels, code.name).inc()

        with _on_end(call, count):
            yield

    return around


@contextmanager
def _on_end(call: Call, report: Callable[[grpc.StatusCode], None]) -> Iterator[None]:
    """Run the call and report the status that it ended with."""
    failure: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failure = error
        raise
    finally:
        report(_status(call, failure))


def _status(call: Call, error: BaseException | None) -> grpc.StatusCode:
    if isinstance(error, asyncio.CancelledError):
        return grpc.StatusCode.CANCELLED
    code = call.context.code()
    known = code if isinstance(code, grpc.StatusCode) else _CODES.get(code or 0, grpc.StatusCode.UNKNOWN)
    return grpc.StatusCode.UNKNOWN if error and known is grpc.StatusCode.OK else known


def _names(method: str, known: Collection[str]) -> tuple[str, str]:
    if method not in known:
        return "unknown", "unknown"
    _, service, name = method.split("/")
    return service, name
