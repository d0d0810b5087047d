"""Counts and times every call, under the names that Prometheus dashboards for gRPC know."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import grpc

from facnet_grpc import metrics, tracing
from facnet_grpc.server.interceptors.chain import Call, Interceptor
from facnet_grpc.server.interceptors.outcome import told


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
