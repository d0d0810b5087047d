"""What the client traces, with OpenTelemetry and without."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from facnet_client import trace


@pytest.fixture
def spans(monkeypatch):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace.trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def test_calls_carry_the_span_that_they_are_made_in(spans):
    assert trace.headers() == ()
    with trace.span("facnet.submit"):
        ((name, value),) = trace.headers()
    (span,) = spans.get_finished_spans()
    assert name == "traceparent"
    assert value.startswith(f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-")


def test_an_error_is_named_and_not_quoted(spans):
    with pytest.raises(OSError, match="Tremblay"), trace.span("facnet.submit"):
        raise OSError("/home/Tremblay/claims.csv")
    (span,) = spans.get_finished_spans()
    assert (span.status.description, span.events) == ("OSError", ())
    assert "Tremblay" not in span.to_json()


def test_without_opentelemetry_nothing_is_sent(monkeypatch):
    monkeypatch.setattr(trace, "AVAILABLE", False)
    with trace.span("facnet.submit"):
        assert trace.headers() == ()
