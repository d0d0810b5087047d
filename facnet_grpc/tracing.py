"""Traces: spans of a call from the client through the queue to each rule, by OpenTelemetry.

Off unless `FACNET_OTLP_ENDPOINT` or OpenTelemetry's own variables say where spans go. A span holds ids, counts and
codes and nothing else: text that does not look like one is left out here, and exceptions are named, never quoted.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from urllib.parse import unquote, urlsplit

from opentelemetry import context, trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from facnet_grpc.errors import FacnetError
from facnet_grpc.settings.environment import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

HEADER = "traceparent"
FILE_SCHEME = "file"
STANDARD = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
FLUSH_MILLISECONDS = 3000

Value = str | int | float | bool
_CODE = re.compile(r"[A-Za-z0-9_./:*-]{1,100}")  # ids, methods, statuses, names of queries: never a sentence
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_W3C = TraceContextTextMapPropagator()


@contextmanager
def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: str | None = None,
    **attributes: Value | None,
) -> Iterator[trace.Span]:
    """Surround what the context does with a span; the current one is its parent, or what `parent` (W3C) says.

    Attributes are called as OpenTelemetry does, with `__` for the dot: `rpc__method`. What goes through ends the span
    with the class of the exception, or its reason if it is one of ours.
    """
    with _begun(name, _above(parent) if parent else None, kind=kind, attributes=attributes) as begun:
        yield begun


@contextmanager
def joined(name: str, traceparent: str | None, **attributes: Value | None) -> Iterator[trace.Span]:
    """Surround it with a span in the trace of `traceparent`; without one, in a trace of its own.

    If that is the trace that goes on here, the current span is above it; else the new span only points to that one.
    """
    above = _above(traceparent) if traceparent else context.Context()
    current = trace.get_current_span().get_span_context()
    goes_on = current.trace_id == trace.get_current_span(above).get_span_context().trace_id
    links = [Link(current)] if current.is_valid and not goes_on else []
    with _begun(name, context.get_current() if goes_on else above, attributes=attributes, links=links) as begun:
        yield begun


@contextmanager
def _begun(
    name: str,
    above: context.Context | None,
    *,
    attributes: Mapping[str, Value | None],
    kind: SpanKind = SpanKind.INTERNAL,
    links: Sequence[Link] = (),
) -> Iterator[trace.Span]:
    with _tracer().start_as_current_span(
        name, above, kind, fit(attributes), links, record_exception=False, set_status_on_exception=False
    ) as begun:
        try:
            yield begun
        except BaseException as error:
            fail(begun, error)
            raise


def record(name: str, seconds: float, **attributes: Value | None) -> None:
    """Add a span for what has just ended and took `seconds`."""
    end = time.time_ns()
    begun = _tracer().start_span(name, attributes=fit(attributes), start_time=end - int(seconds * 1e9))
    begun.end(end)


def child(name: str, **attributes: Value | None) -> trace.Span | None:
    """Begin a span under the current one without becoming current; None if nobody looks. Whoever calls ends it."""
    if not trace.get_current_span().is_recording():
        return None
    return _tracer().start_span(name, kind=SpanKind.CLIENT, attributes=fit(attributes))


def fail(begun: trace.Span, error: BaseException) -> None:
    """Mark a span as failed: by reason or class, because the text of an exception may quote a cell."""
    code = error.reason.value if isinstance(error, FacnetError) else type(error).__name__
    begun.set_status(Status(StatusCode.ERROR, code))
    begun.set_attribute("error.type", code)


def mark_failed(error: BaseException) -> None:
    """Mark the current span as failed."""
    fail(trace.get_current_span(), error)


def inject() -> str | None:
    """Return the current span as a W3C `traceparent`, to be sent along; None if there is none."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get(HEADER)


def extract(traceparent: object) -> str | None:
    """Return a `traceparent` that came from outside if it is one, else None."""
    return traceparent if isinstance(traceparent, str) and _TRACEPARENT.fullmatch(traceparent) else None


def ids() -> dict[str, str]:
    """Return the ids of the current trace and span for a log line; nothing without one."""
    current = trace.get_current_span().get_span_context()
    if not current.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(current.trace_id), "span_id": trace.format_span_id(current.span_id)}


def exemplar() -> dict[str, str] | None:
    """Return what joins a figure to the current trace, if that trace is kept."""
    current = trace.get_current_span().get_span_context()
    return {"trace_id": trace.format_trace_id(current.trace_id)} if current.trace_flags.sampled else None


def fit(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    """Return the attributes that may leave: numbers, and texts that look like an id or a code."""
    return {
        name.replace("__", "."): value
        for name, value in attributes.items()
        if value is not None and (not isinstance(value, str) or _CODE.fullmatch(value))
    }


class Traces:
    """Where the spans of this process go while it is open; nowhere if nobody has asked for them."""

    def __init__(self, endpoint: str, service: str) -> None:
        self._endpoint = endpoint
        self._service = service
        self._provider: TracerProvider | None = None
        self._file: TextIO | None = None

    def open(self) -> None:
        """Begin to export. Raises `SettingsError` if that is asked for and the `otel` extra is not installed."""
        if not self._endpoint and not any(os.environ.get(name) for name in STANDARD):
            return
        try:
            self._file = _file(self._endpoint)
            self._provider = _provider(self._endpoint, self._service, self._file)
        except ImportError:
            raise SettingsError("FACNET_OTLP_ENDPOINT: needs the extra facnet-grpc[otel].") from None
        except OSError:
            raise SettingsError("FACNET_OTLP_ENDPOINT: the file cannot be written.") from None
        trace.set_tracer_provider(self._provider)

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        if self._provider is not None:
            self._provider.force_flush(FLUSH_MILLISECONDS)
            self._provider.shutdown()
            self._provider = None
        if self._file is not None:
            self._file.close()
            self._file = None


def _provider(endpoint: str, service: str, file: TextIO | None) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - likewise

    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(_processor(endpoint, file))
    return provider


def _processor(endpoint: str, file: TextIO | None) -> SpanProcessor:
    from opentelemetry.sdk.trace.export import (  # noqa: PLC0415 - an extra
        BatchSpanProcessor,
        ConsoleSpanExporter,
        SimpleSpanProcessor,
    )

    if file is not None:
        return SimpleSpanProcessor(ConsoleSpanExporter(out=file, formatter=_line))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - likewise

    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces") if endpoint else OTLPSpanExporter()
    return BatchSpanProcessor(exporter)


def _file(endpoint: str) -> TextIO | None:
    if urlsplit(endpoint).scheme != FILE_SCHEME:
        return None
    return Path(unquote(urlsplit(endpoint).path)).open("a", encoding="utf-8")


def _line(ended: ReadableSpan) -> str:
    text: str = ended.to_json(indent=None)
    return f"{text}\n"


def _above(traceparent: str) -> context.Context:
    return _W3C.extract({HEADER: traceparent})


def _tracer() -> trace.Tracer:
    # Asked each time: who set the provider may have done so after this module was imported.
    return trace.get_tracer("facnet_grpc")
