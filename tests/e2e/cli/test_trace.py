"""One trace from the client's span to each rule, over a server and a worker that are programs of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from facnet_process import SAMPLE
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from facnet_client import FacnetClient, Status

SUBMIT = "facnet.v1.ValidationService/SubmitValidation"
_STACK = ("-m", "facnet_grpc", "dev", "--ephemeral", "--announce", "json", "--until-stdin-closes")


@pytest.fixture
def traced_stack(tmp_path, stack_environment):
    """The address of a stack, and the file that its spans go to."""
    spans = tmp_path / "spans.jsonl"
    environment = {**stack_environment, "FACNET_OTLP_ENDPOINT": spans.as_uri(), "FACNET_WORKER_PROCESSES": "1"}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, *_STACK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
        ) as child,
    ):
        line = child.stdout.readline()
        assert line, (tmp_path / "log").read_text()
        yield json.loads(line)["target"], spans
        child.stdin.close()
        assert child.wait(60) == 0


@pytest.fixture
def client_spans():
    return InMemorySpanExporter()


@pytest.fixture
def provider(client_spans):
    """What the client traces with."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(client_spans))
    yield provider
    provider.shutdown()


def written(spans, *until, seconds=30.0):
    """The spans of the file by id, once there is one of each name in `until`: server and workers write apart."""
    deadline = time.monotonic() + seconds
    while True:
        found = [json.loads(line) for line in spans.read_text().splitlines()]
        if set(until) <= {span["name"] for span in found}:
            return {span["context"]["span_id"]: span for span in found}
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_trace_leads_from_the_client_to_each_rule(traced_stack, client_spans, provider):
    target, file = traced_stack
    with FacnetClient(target, tracer_provider=provider) as client:
        run = client.submit(SAMPLE)
        assert [update.status for update in client.watch(run.validation_id)][-1] is Status.COMPLETED
    (sent,) = [span for span in client_spans.get_finished_spans() if span.name == "facnet.submit"]
    spans = written(file, SUBMIT, "validate_run")
    rules = [span for span in spans.values() if span["name"].startswith("rule ")]
    assert len(rules) > 5
    span, names = rules[0], []
    while span["parent_id"] in spans:
        span = spans[span["parent_id"]]
        names.append(span["name"])
    assert names == ["rules", "attempt", "validate_run", SUBMIT]
    assert span["parent_id"] == f"0x{sent.context.span_id:016x}"
    assert span["context"]["trace_id"] == f"0x{sent.context.trace_id:032x}"
    text = file.read_text()
    assert "leases.claim_first_of_lane" in text
    assert "SELECT id" not in text
    assert "claims-5000" not in text
