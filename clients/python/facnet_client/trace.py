"""Traces, if OpenTelemetry is installed: calls carry the span of their caller. Without it, nothing happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:  # it is not a dependency of the client
    AVAILABLE = False
else:
    AVAILABLE = True
if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider


def inject() -> tuple[tuple[str, str], ...]:
    """Return the metadata that makes the server's spans children of the current one."""
    if not AVAILABLE:
        return ()
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return tuple(carrier.items())


@contextmanager
def span(name: str, tracer_provider: TracerProvider | None = None) -> Iterator[None]:
    """Surround the body of the context with a span, of the global provider if none is given.

    The text of an exception may quote a file, so the span records its type only.
    """
    if not AVAILABLE:
        yield
        return
    tracer = trace.get_tracer("facnet_client", tracer_provider=tracer_provider)
    with tracer.start_as_current_span(
        name, kind=trace.SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            raise
