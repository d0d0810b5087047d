"""A span for every call, under the caller's own if it sends one (W3C `traceparent`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opentelemetry.trace import SpanKind

from facnet_grpc import tracing
from facnet_grpc.server.interceptors.access_log import QUIET
from facnet_grpc.server.interceptors.chain import Call
from facnet_grpc.server.interceptors.outcome import told


@asynccontextmanager
async def call_trace(call: Call) -> AsyncIterator[None]:
    """Surround a call; probes are left out."""
    if call.method.startswith(QUIET):
        yield
        return
    parent = tracing.understood(call.metadata(tracing.HEADER))
    name = call.method.removeprefix("/")
    with (
        tracing.span(name, kind=SpanKind.SERVER, parent=parent, rpc__system="grpc", rpc__method=name) as span,
        told(call, lambda code: span.set_attribute("rpc.grpc.status_code", code.value[0])),
    ):
        yield
