"""What the client traces, with OpenTelemetry and without."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from facnet_client import trace

WITHOUT_OPENTELEMETRY = """
import sys
sys.modules["opentelemetry"] = None  # importing it fails
from facnet_client import trace
with trace.span("facnet.submit"):
    print(trace.inject())
"""


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


def test_calls_carry_the_span_that_they_are_made_in(provider, exporter):
    assert trace.inject() == ()
    with trace.span("facnet.submit", provider):
        ((name, value),) = trace.inject()
    (span,) = exporter.get_finished_spans()
    assert name == "traceparent"
    assert value.startswith(f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-")


def test_an_error_is_named_and_not_quoted(provider, exporter):
    with pytest.raises(OSError, match="Tremblay"), trace.span("facnet.submit", provider):
        raise OSError("/home/Tremblay/claims.csv")
    (span,) = exporter.get_finished_spans()
    assert (span.status.description, span.events) == ("OSError", ())
    assert "Tremblay" not in span.to_json()


def test_without_opentelemetry_nothing_is_sent():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPENTELEMETRY], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "()\n"
