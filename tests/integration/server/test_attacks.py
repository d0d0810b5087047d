"""The attacker's table: what is tried, through the real port, and what comes back. The server is well after each."""

from __future__ import annotations

import gc
import gzip
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from raw_http2 import Flood
from serving import Refusal, Server, assert_well, eventually, messages, refused, submit

from facnet_client import FacnetClient
from facnet_client.values import Status
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.rules import registry
from facnet_grpc.server import app
from facnet_grpc.server.main import Tuning
from workers.validation.job import validate
from workers.validation.lease_guard import GracefulShutdown
from workers.validation.resources import ReferenceCache
from workers.validation.resources import Resources as WorkerResources

pytestmark = pytest.mark.system

Code = grpc.StatusCode
MIB = 1 << 20


@pytest.fixture(autouse=True)
def _is_well_afterwards(server: Server) -> Iterator[None]:
    yield
    assert_well(server)


def resident() -> int:
    """Bytes of memory that this process, which is the server's too, has now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\x", "a/../b", "C:\\x"])
def test_a_path_in_a_file_name_is_only_a_label(server: Server, name: str) -> None:
    run_id = submit(server, file_name=name)
    assert [blob.key for blob in server.blobs.blobs()] == [str(run_id)]
    found = server.stub.GetValidation(pb.GetValidationRequest(validation_id=str(run_id))).validation
    assert found.file_name == name


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "a\x1b[2Jb", "x\u202efdp.exe", "x" * 256])
def test_a_file_name_that_cannot_be_shown_is_refused(server: Server, name: str) -> None:
    assert refused(lambda: submit(server, file_name=name)).code is Code.INVALID_ARGUMENT


def test_ten_gigabytes_are_refused_when_they_are_announced(server: Server) -> None:
    sent = 0

    def requests() -> Iterator[pb.SubmitValidationRequest]:
        nonlocal sent
        for message in messages(b"x" * 64 * MIB, size=MIB, size_bytes=10 << 30):
            sent += 1
            yield message

    refusal = refused(lambda: server.stub.SubmitValidation(requests(), timeout=30))
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "FILE_TOO_LARGE")
    assert not list(server.blobs.parts())


def test_more_than_was_announced_is_refused(server: Server) -> None:
    refusal = refused(lambda: submit(server, b"x" * 5000, size_bytes=4000))
    assert (refusal.code, refusal.reason) == (Code.DATA_LOSS, "SIZE_MISMATCH")


def test_a_chunk_beyond_the_size_of_a_message_is_refused(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.SubmitValidation(messages(b"x" * 3 * MIB, size=3 * MIB), timeout=30)
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED


def test_a_message_that_expands_is_refused_before_it_fills_the_memory(server: Server) -> None:
    bomb = b"\0" * 64 * MIB
    with grpc.insecure_channel(server.target, [("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary("/facnet.v1.ValidationService/GetValidation")
        with pytest.raises(grpc.RpcError) as caught:
            call(bomb, compression=grpc.Compression.Gzip, timeout=30)
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("limit", [{"max_expanded_bytes": 4 * MIB}, {"max_expansion_ratio": 20}])
def test_a_file_that_expands_is_given_up_by_the_worker(
    make_server: Callable[..., Server], limit: dict[str, int]
) -> None:
    server = make_server(**limit)
    header = b"Facture;ID RAMQ;Date de Service;Code;Montant Preliminaire;Doctor Info;Patient\r\n"
    line = b"123456789;12345678901;2025-02-26;15804;49,15;1234567-12345 | Test, Zoe - Omni;ZTES85010112 - ZTEST, A\r\n"
    bomb = gzip.compress(header + line * (128 * MIB // len(line)), 9)
    assert len(bomb) < MIB
    run_id = submit(server, bomb)
    before = resident()
    work(server, run_id)
    run = server.stub.GetValidation(pb.GetValidationRequest(validation_id=str(run_id)), timeout=20).validation
    assert run.error.code == "EXPANDS_TOO_LARGE"
    assert resident() - before < 200 * MIB


def work(server: Server, run_id: UUID) -> None:
    """Do what a worker does with a run, to its end."""
    resources = server.resources
    validate(
        WorkerResources(
            settings=resources.settings,
            database=resources.database,
            blobs=resources.blobs,
            events=resources.events,
            queue=resources.queue,
            rules=registry.load(None),
            references=ReferenceCache(),
            shutdown=GracefulShutdown(),
        ),
        run_id,
    )


def test_an_upload_that_trickles_is_ended(make_server: Callable[..., Server]) -> None:
    server = make_server(max_stream_seconds=0.5, upload_idle_seconds=10)
    over = threading.Event()

    def requests() -> Iterator[pb.SubmitValidationRequest]:
        yield pb.SubmitValidationRequest(header=pb.UploadHeader(file_name="slow.csv"))
        offset = 0
        while not over.wait(0.05):
            yield pb.SubmitValidationRequest(chunk=pb.UploadChunk(offset=offset, data=b"x"))
            offset += 1

    refusal = refused(lambda: server.stub.SubmitValidation(requests(), timeout=20))
    over.set()
    assert (refusal.code, refusal.reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    eventually(lambda: server.running.background.is_idle)


def test_an_upload_that_says_nothing_is_ended(make_server: Callable[..., Server]) -> None:
    server = make_server(upload_idle_seconds=0.2)
    over = threading.Event()

    def nothing() -> Iterator[pb.SubmitValidationRequest]:
        over.wait(60)
        yield from ()

    refusal = refused(lambda: server.stub.SubmitValidation(nothing(), timeout=30))
    over.set()
    assert refusal.code is Code.DEADLINE_EXCEEDED


def test_connections_that_say_nothing_are_hung_up_on(make_server: Callable[..., Server]) -> None:
    name = "grpc.server_handshake_timeout_ms"
    usual = dict(app.OPTIONS)
    assert usual[name] <= 10_000
    server = make_server(tuning=Tuning(grpc_options=tuple((usual | {name: 300}).items())))
    for said in (b"", b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", int(server.target.rpartition(":")[2])), 20) as connection:
            connection.sendall(said)
            while connection.recv(4096):
                pass


def test_one_owner_cannot_hold_all_streams(make_server: Callable[..., Server]) -> None:
    server = make_server(max_open_calls=300)
    request = pb.WatchValidationRequest(validation_id=str(submit(server)))
    before = resident()
    with Flood(server.target, "/facnet.v1.ValidationService/WatchValidation", request.SerializeToString()) as flood:
        flood.open(10_000)
        flood.wait_for(ended=9_700)
        assert len(flood.answered) == 300
        assert not flood.is_over
        assert resident() - before < 150 * MIB
        assert _first(server.stub.WatchValidation(request, timeout=20)) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    eventually(lambda: _first(server.stub.WatchValidation(request, timeout=20)) is None)


def test_calls_beyond_those_of_a_connection_are_not_begun(make_server: Callable[..., Server]) -> None:
    server = make_server(max_connection_streams=50)
    request = pb.WatchValidationRequest(validation_id=str(submit(server)))
    with Flood(server.target, "/facnet.v1.ValidationService/WatchValidation", request.SerializeToString()) as flood:
        flood.open(200)
        flood.wait_for(ended=150)
        assert len(flood.answered) <= 50
    eventually(lambda: not server.running.hub.watched_runs, 20)


def _first(call: Any) -> tuple[Code, str] | None:
    try:
        next(call)
    except grpc.RpcError as error:
        refusal = Refusal(error)
        return refusal.code, refusal.reason
    return None


def test_streams_that_are_reset_at_once_leave_nothing(server: Server) -> None:
    run_id = str(submit(server))
    before = resident()
    for _ in range(2000):
        server.stub.WatchValidation(pb.WatchValidationRequest(validation_id=run_id)).cancel()
    eventually(lambda: not server.running.hub.watched_runs, 20)
    assert resident() - before < 100 * MIB


@pytest.mark.parametrize("size", [17 << 10, 64 << 10, MIB])
def test_giant_headers_are_refused(server: Server, size: int) -> None:
    many = tuple((f"x-{number}", "y" * 1000) for number in range(size // 1000))
    for metadata in ((("authorization", "Bearer " + "x" * size),), many):
        request = pb.ListValidationsRequest()
        with pytest.raises(grpc.RpcError) as caught:
            server.stub.ListValidations(request, metadata=metadata, timeout=20)
        assert caught.value.code() is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "junk", [b"'; DROP TABLE validation_runs; --", b"%", b"\\", b"$(id)", b"{0}", b"\xf0\x9f\x92\xa3"]
)
def test_text_is_only_text(server: Server, junk: bytes) -> None:
    run_id = submit(server)
    filters = pb.ListValidationsRequest(file_name_contains=junk.decode(), batch_id=junk.decode())
    assert not server.stub.ListValidations(filters).validations
    assert server.stub.GetValidation(pb.GetValidationRequest(validation_id=str(run_id))).validation.validation_id


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00" + b"\1" * 500, b"\0" * 9000]
)
def test_those_who_speak_something_else_are_hung_up_on(server: Server, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(server.target.rpartition(":")[2])), 10) as connection:
        connection.sendall(said)
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            return


def test_one_owner_cannot_fill_the_queue(make_server: Callable[..., Server]) -> None:
    server = make_server(max_unfinished_runs=2)
    submit(server)
    submit(server, b"a,b\n")
    refusal = refused(lambda: submit(server, b"c,d\n"))
    assert (refusal.code, refusal.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_RUNS")
    runs = server.stub.ListValidations(pb.ListValidationsRequest()).validations
    server.stub.CancelValidation(pb.CancelValidationRequest(validation_id=runs[0].validation_id))
    submit(server, b"c,d\n")


def test_a_watch_goes_on_over_streams_and_connections_that_end(make_server: Callable[..., Server]) -> None:
    server = make_server(max_stream_seconds=0.3, max_connection_seconds=1, connection_grace_seconds=1)
    run_id = submit(server)
    with FacnetClient(server.target) as client:
        updates = client.watch(str(run_id))
        assert next(updates).status is Status.QUEUED
        timer = threading.Timer(2.5, lambda: server.stub.CancelValidation(_cancelling(run_id)))
        timer.start()
        assert [update.status for update in updates] == [Status.CANCELLED]
        timer.join()


def _cancelling(run_id: UUID) -> pb.CancelValidationRequest:
    return pb.CancelValidationRequest(validation_id=str(run_id))
