"""Traces, if OpenTelemetry is installed: calls carry the span of whoever makes them. Nothing otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:  # it is not a dependency of the client
    AVAILABLE = False
else:
    AVAILABLE = True


def headers() -> tuple[tuple[str, str], ...]:
    """Return what a call sends along so that the server's spans belong under the current one."""
    if not AVAILABLE:
        return ()
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return tuple(carrier.items())


@contextmanager
def span(name: str) -> Iterator[None]:
    """Surround what the context does with a span. The text of an exception may quote a file, so it is not kept."""
    if not AVAILABLE:
        yield
        return
    tracer = trace.get_tracer("facnet_client")
    with tracer.start_as_current_span(
        name, kind=trace.SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
    ) as begun:
        try:
            yield
        except BaseException as error:
            begun.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            raise
