"""That a canary would be seen: one is planted in each kind of place, and found there and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from canary_scan import AMOUNTS, CANARIES, FILE_NAME, NAM, SURNAME, in_redis, in_spans, on_disk, seen
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode, Tracer

from facnet_grpc.jobs.contract import QUEUE
from facnet_grpc.jobs.queue import NAMESPACE
from facnet_grpc.settings import Settings
from facnet_grpc.tracing import Traces

QUOTED = f"cannot read {NAM}"


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    return tmp_path / "spans.jsonl"


@pytest.fixture
def tracer(spans: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracer]:
    """A tracer that writes as the product does, past its own check of what a span may say."""
    monkeypatch.setattr(trace, "set_tracer_provider", lambda _: None)
    keys = {"pseudonym_key": "x" * 32, "blob_key": "x" * 32}
    settings = Settings.of(database_url="x", redis_url="x", blob_dir=Path("x"), otlp_endpoint=spans.as_uri(), **keys)
    traces = Traces(settings.process.otlp_endpoint, "test")
    traces.open()
    assert traces._provider
    yield traces._provider.get_tracer("test")
    traces.close()


def in_name(span: Span) -> None:
    span.update_name(f"parse {NAM}")


def in_attributes(span: Span) -> None:
    span.set_attribute("note", NAM)


def in_events(span: Span) -> None:
    span.add_event("exception", {"exception.message": QUOTED})


def in_status(span: Span) -> None:
    span.set_status(Status(StatusCode.ERROR, QUOTED))


@pytest.mark.parametrize("plant", [in_name, in_attributes, in_events, in_status])
def test_a_canary_in_a_span_is_seen(tracer: Tracer, spans: Path, plant: Any) -> None:
    with tracer.start_as_current_span("sound"):
        pass
    assert seen(in_spans(spans)) == []
    with tracer.start_as_current_span("planted") as span:
        plant(span)
    aspect = plant.__name__.removeprefix("in_")
    assert seen(in_spans(spans)) == [f"{NAM} is in spans: {aspect}", f"{NAM} is in spans"]


def test_a_canary_in_a_link_of_a_span_is_seen(tracer: Tracer, spans: Path) -> None:
    tracer.start_span("x", links=[Link(SpanContext(1, 1, is_remote=False), {"note": NAM})]).end()
    assert f"{NAM} is in spans: links" in seen(in_spans(spans))


@pytest.mark.system
def test_a_canary_is_seen_in_every_kind_of_key(redis_client: redis.Redis, redis_url: str) -> None:
    dead, delayed = f"{NAMESPACE}:{QUEUE}.XQ.msgs", f"{NAMESPACE}:{QUEUE}.DQ.msgs"
    message = json.dumps({"kwargs": {}, "options": {"traceback": QUOTED}})
    redis_client.set("sound", 1)
    assert seen(in_redis(redis_url)) == []
    redis_client.set("text", QUOTED)
    redis_client.hset(dead, "1", message)
    redis_client.hset(delayed, "1", message)
    redis_client.rpush("list", QUOTED)
    redis_client.sadd("set", QUOTED)
    redis_client.zadd("zset", {QUOTED: 1})
    redis_client.xadd("stream", {"note": QUOTED})
    redis_client.set(f"named {NAM}", 1)
    places = {line.removeprefix(f"{NAM} is in ") for line in seen(in_redis(redis_url))}
    kinds = {f"Redis: {key}" for key in ("text", "list", "set", "zset", "stream", f"named {NAM}")}
    assert places == kinds | {f"dead letters: {dead}", f"delayed messages: {delayed}"}


def test_a_canary_is_seen_in_a_file_and_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "sound").write_bytes(b"1,2,3")
    assert seen(on_disk(tmp_path)) == []
    (tmp_path / "core.1").write_bytes(b"\0\0" + SURNAME.encode() + b"\0")
    (tmp_path / "tmp" / f"{FILE_NAME}.csv").write_bytes(b"")
    found = [f"{SURNAME} is in the file core.1", f"{FILE_NAME} is in the file tmp/{FILE_NAME}.csv"]
    assert sorted(seen(on_disk(tmp_path))) == sorted(found)


def test_each_canary_is_looked_for() -> None:
    assert [line.partition(" ")[0] for line in seen({"x": " ".join(CANARIES).encode()})] == list(CANARIES)
    assert AMOUNTS[0] in CANARIES
