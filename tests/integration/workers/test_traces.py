"""A run as one trace, from the client's span to each rule and query, without a word of the claims."""

from __future__ import annotations

import json
import re
from io import StringIO
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from facnet_grpc import logs, tracing
from facnet_grpc.jobs.contract import ValidateRun
from facnet_grpc.settings.environment import SettingsError
from facnet_grpc.settings.process import ProcessSettings
from workers import actors
from workers.main import Traces
from workers.validation.job import validate

HARMLESS = re.compile(r"[A-Za-z0-9_./:*-]+( [A-Za-z0-9_./:*-]+)?")


@pytest.fixture
def spans(monkeypatch):
    """What is traced while the test runs."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def by_name(exporter):
    return {span.name: span for span in exporter.get_finished_spans()}


def above(span, exporter):
    """The names of the spans that a span is under, innermost first."""
    by_id = {one.context.span_id: one for one in exporter.get_finished_spans()}
    names = []
    while span.parent is not None:
        span = by_id[span.parent.span_id]
        names.append(span.name)
    return names


@pytest.fixture
def traced_run(bench, sample, spans):
    """A run that was queued by a span called `sender`, and done."""
    run_id = bench.submit(sample)

    with tracing.span("sender"):
        payload = ValidateRun(run_id, tracing.inject()).to_kwargs()
    with actors._span(payload, "validate_run"):
        validate(bench.resources, run_id)
    return run_id


def test_rules_and_queries_are_under_whoever_sent_the_job(bench, traced_run, spans):
    found = by_name(spans)
    assert bench.run(traced_run).status == "COMPLETED"
    assert len({span.context.trace_id for span in spans.get_finished_spans()}) == 1
    assert above(found["rule office_fee"], spans) == ["rules", "attempt", "validate_run", "sender"]
    assert above(found["COPY"], spans)[1:] == ["attempt", "validate_run", "sender"]
    assert above(found["leases.claim_first_of_lane"], spans) == ["validate_run", "sender"]
    assert above(found["leases.complete_run"], spans) == ["storing_results", "attempt", "validate_run", "sender"]
    assert found["attempt"].attributes["facnet.run_id"] == str(traced_run)


def test_spans_hold_ids_counts_and_codes_only(traced_run, spans):
    for span in spans.get_finished_spans():
        assert span.events == ()
        for text in (span.name, *(value for value in span.attributes.values() if isinstance(value, str))):
            assert HARMLESS.fullmatch(text)
        assert set(span.attributes) <= {
            "db.system.name",
            "facnet.rows",
            "facnet.run_id",
            "facnet.attempt",
            "facnet.bytes",
            "facnet.rule",
            "messaging.system",
        }


def test_another_run_than_asked_for_has_a_trace_of_its_own(bench, sample, spans):
    first, second = bench.submit(sample[:20_000]), bench.submit(sample[:20_000])
    with tracing.span("sender"):
        validate(bench.resources, second)
    attempt = by_name(spans)["attempt"]
    assert attempt.attributes["facnet.run_id"] == str(first)
    assert attempt.parent is None
    assert attempt.links[0].context.trace_id == by_name(spans)["sender"].context.trace_id


@pytest.mark.parametrize("sender", ["the reconciler", "another run"])
def test_an_attempt_is_under_whoever_handed_the_run_in_whatever_it_was_begun_by(bench, sample, spans, sender):
    with tracing.span("submit"):
        run_id = bench.submit(sample[:20_000], traceparent=tracing.inject())
    if sender == "the reconciler":
        validate(bench.resources, run_id)
    else:
        with tracing.span("sender"):
            validate(bench.resources, uuid4())
    found = by_name(spans)
    assert bench.run(run_id).status == "COMPLETED"
    assert above(found["rule office_fee"], spans) == ["rules", "attempt", "submit"]
    links = [link.context.span_id for link in found["attempt"].links]
    assert links == ([] if sender == "the reconciler" else [found["sender"].context.span_id])


def test_an_exception_is_named_and_not_quoted(spans):
    with pytest.raises(ValueError), tracing.span("work", rpc__method="a/b", other="Tremblay, Marie", none=None):
        raise ValueError("TREM12345678")
    (span,) = spans.get_finished_spans()
    assert dict(span.attributes) == {"rpc.method": "a/b", "error.type": "ValueError"}
    assert "TREM" not in span.to_json()


def test_log_lines_carry_the_trace(spans):
    out = StringIO()
    logs.configure("info", "json", out)
    with tracing.span("work") as span:
        logs.get_logger("facnet_grpc.test").info("something")
    logs.get_logger("facnet_grpc.test").info("something_else")
    inside, outside = map(json.loads, out.getvalue().splitlines())
    assert inside["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)
    assert "trace_id" not in outside


@pytest.mark.parametrize("said", ["", "00-00", "00-" + "g" * 32 + "-" + "1" * 16 + "-01", 7, None])
def test_what_is_no_traceparent_is_ignored(said):
    assert tracing.extract(said) is None


def test_nothing_is_traced_unless_somebody_asks(monkeypatch):
    for name in tracing.STANDARD:
        monkeypatch.delenv(name, raising=False)
    traces = Traces("", "facnet-test")
    traces.open()
    with tracing.span("work"):
        assert tracing.inject() is None
        assert tracing.exemplar() is None
    traces.close()


def test_spans_go_to_a_file(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(trace, "set_tracer_provider", found.append)
    traces = Traces(f"file://{tmp_path}/spans.jsonl", "facnet-test")
    traces.open()
    found[0].get_tracer("test").start_span("work").end()
    traces.close()
    (line,) = (tmp_path / "spans.jsonl").read_text().splitlines()
    assert json.loads(line)["name"] == "work"


def test_a_file_that_cannot_be_written_is_said():
    with pytest.raises(SettingsError, match="FACNET_OTLP_ENDPOINT"):
        Traces(f"file:///proc/{uuid4()}/spans", "facnet-test").open()


def test_an_endpoint_that_is_none_is_said():
    with pytest.raises(ValueError, match="http"):
        ProcessSettings(otlp_endpoint="collector:4317")


def test_a_failure_is_one_line_with_code_run_and_cure(bench, spans):
    out = StringIO()
    logs.configure("info", "json", out)
    run_id = bench.submit(b"\x00\x01\x02 this is no claim file")
    bench.validate(run_id)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "attempt_failed"]
    assert line["run_id"] == str(run_id)
    assert line["code"] == bench.run(run_id).error_code
    assert line["cure"].endswith(".")
    assert line["trace_id"]
    assert by_name(spans)["attempt"].attributes["error.type"] == line["code"]
