"""The server as a whole: health, reflection, deadlines, strangers' methods, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import prometheus_client
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from serving import KEY, Server, eventually, messages, refused, submit

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub

pytestmark = pytest.mark.system

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def health(channel: grpc.Channel, service: str = "facnet.v1.ValidationService") -> Any:
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service)).status


@pytest.mark.parametrize("service", ["", "facnet.v1.ValidationService", "grpc.health.v1.Health"])
def test_every_service_is_healthy(server: Server, service: str) -> None:
    assert health(server.channel, service) == SERVING


def test_a_service_that_is_not_there_has_no_health(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        health(server.channel, "facnet.v1.Other")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_services(server: Server) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    answers = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    names = {service.name for service in next(answers).list_services_response.service}
    assert {"facnet.v1.ValidationService", "grpc.health.v1.Health"} <= names


def test_a_method_that_is_not_there_is_unimplemented(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.channel.unary_unary("/facnet.v1.ValidationService/Nonsense")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_call_that_nobody_serves_is_unimplemented(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.channel.unary_unary("/facnet.v1.ValidationService/MakeCoffee")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_request_that_is_no_protobuf_breaks_only_itself(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.channel.unary_unary("/facnet.v1.ValidationService/GetValidation")(b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert health(server.channel) == SERVING


def test_a_call_without_a_deadline_gets_one(
    make_server: Callable[..., Server],
) -> None:
    server = make_server(default_deadline_seconds=0.1)
    gate = threading.Event()
    server.hooked_database.before_connection = lambda: gate.wait(60)
    refusal = refused(lambda: server.stub.GetValidation(pb.GetValidationRequest(validation_id=str(uuid4()))))
    gate.set()
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


def test_a_stalled_upload_is_given_up_and_kept(make_server: Callable[..., Server]) -> None:
    server = make_server(upload_idle_seconds=1)
    upload_id = str(uuid4())

    def requests() -> Iterator[pb.SubmitValidationRequest]:
        yield from messages(b"x" * 1000, upload_id=upload_id)
        over.wait(60)

    over = threading.Event()
    refusal = refused(lambda: server.stub.SubmitValidation(requests()))
    over.set()
    assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(list(server.blobs.parts())) == 1


def test_calls_are_counted_under_names_from_a_closed_set(server: Server) -> None:
    def count(method: str, code: str) -> float:
        labels = {
            "grpc_service": "facnet.v1.ValidationService",
            "grpc_method": method,
            "grpc_type": "unary",
            "grpc_code": code,
        }
        return prometheus_client.REGISTRY.get_sample_value("grpc_server_handled_total", labels) or 0

    before = count("GetValidation", "NOT_FOUND")
    refused(lambda: server.stub.GetValidation(pb.GetValidationRequest(validation_id=str(uuid4()))))
    eventually(lambda: count("GetValidation", "NOT_FOUND") == before + 1)


def test_stopping_says_so_first_and_lets_uploads_finish(server: Server) -> None:
    gate = threading.Event()

    def requests() -> Iterator[pb.SubmitValidationRequest]:
        yield from messages(b"x" * 1000)
        gate.wait(60)

    upload = server.stub.SubmitValidation.future(requests())
    eventually(lambda: list(server.blobs.parts()))
    watched = server.stub.WatchValidation(pb.WatchValidationRequest(validation_id=str(submit(server))))
    next(watched)
    stopping = threading.Thread(target=lambda: server.do(server.running.stop(60)))
    stopping.start()
    assert refused(lambda: list(watched)).reason == "SHUTTING_DOWN"
    gate.set()
    assert upload.result(60).validation_id
    stopping.join(60)
    assert not stopping.is_alive()


class Process:
    """`python -m facnet_grpc serve` with an environment of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("FACNET_", "DATABASE_", "REDIS_"))
        }
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "facnet_grpc", "serve"],
            env=clean | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, str]:
        _, output = self.popen.communicate(timeout=60)
        return self.popen.returncode, output


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def environment(clean_postgres_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": clean_postgres_url,
        "REDIS_URL": redis_url,
        "FACNET_BLOB_DIR": str(tmp_path / "files"),
        "FACNET_PSEUDONYM_KEY": KEY,
        "FACNET_BLOB_KEY": KEY,
        "FACNET_LISTEN": f"127.0.0.1:{free_port()}",
        "FACNET_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
        "FACNET_LOG_FORMAT": "json",
    }


def test_a_signal_ends_a_server_in_order(environment: dict[str, str]) -> None:
    process = Process(environment)
    with grpc.insecure_channel(environment["FACNET_LISTEN"]) as channel:
        grpc.channel_ready_future(channel).result(60)
        stub = ValidationServiceStub(channel)
        run_id = stub.SubmitValidation(messages(b"x")).validation_id
        stream = stub.WatchValidation(pb.WatchValidationRequest(validation_id=run_id))
        next(stream)
        with urllib.request.urlopen(f"http://{environment['FACNET_METRICS_LISTEN']}/metrics") as page:
            assert b"facnet_watchers 1.0" in page.read()
        process.popen.send_signal(signal.SIGTERM)
        assert refused(lambda: list(stream)).reason == "SHUTTING_DOWN"
    status, output = process.end()
    assert status == 0, output
    events = [json.loads(line)["event"] for line in output.splitlines()]
    assert [event for event in events if event != "call"] == ["server_started", "server_stopping", "server_stopped"]


def test_a_second_signal_ends_a_server_at_once(environment: dict[str, str]) -> None:
    process = Process(environment)
    with grpc.insecure_channel(environment["FACNET_LISTEN"]) as channel:
        grpc.channel_ready_future(channel).result(60)
        over = threading.Event()

        def requests() -> Iterator[pb.SubmitValidationRequest]:
            yield from messages(b"x")
            over.wait(60)

        call = ValidationServiceStub(channel).SubmitValidation.future(requests())
        assert call.initial_metadata()
        process.popen.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert process.popen.poll() is None, "it waits for the upload"
        process.popen.send_signal(signal.SIGTERM)
        assert process.end()[0] == 128 + signal.SIGTERM
        over.set()


@pytest.mark.parametrize("setting", ["FACNET_LISTEN", "FACNET_METRICS_LISTEN"])
def test_an_address_that_is_taken_is_said_plainly(environment: dict[str, str], setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, output = Process(environment | {setting: f"127.0.0.1:{taken.getsockname()[1]}"}).end()
    assert status == 78
    assert "cannot listen on" in output.splitlines()[-1]


def test_missing_settings_are_listed_one_a_line(environment: dict[str, str]) -> None:
    status, output = Process({"FACNET_PSEUDONYM_KEY": "too short to be one", "FACNET_LISTEN": "0.0.0.0:1"}).end()
    assert status == 78
    assert [line.partition(":")[0] for line in output.splitlines()] == [
        "DATABASE_URL",
        "REDIS_URL",
        "FACNET_BLOB_DIR",
        "FACNET_PSEUDONYM_KEY",
        "FACNET_LISTEN",
    ]
    assert "too short" not in output
