"""The attacker's table: what is tried, through the real port, and what comes back. The server is well after each."""

from __future__ import annotations

import gc
import gzip
import random
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from raw_http2 import Flood
from serving import Refusal, Server, eventually, messages, refused, submit

from facnet_client import FacnetClient
from facnet_client.values import Status
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.rules import registry
from facnet_grpc.server.app import SERVICES
from workers.pipeline.control import Stopping
from workers.pipeline.references import References
from workers.pipeline.resources import Resources as WorkerResources
from workers.pipeline.validate import validate

pytestmark = pytest.mark.system

Code = grpc.StatusCode
MIB = 1 << 20
METHODS = [method for service in SERVICES if service.full_name.startswith("facnet.") for method in service.methods]
IDS = [method.full_name.removeprefix("facnet.v1.") for method in METHODS]
# What a caller may be told about nonsense. INTERNAL and UNKNOWN would be defects.
CALM = {Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.OK, Code.UNIMPLEMENTED, Code.FAILED_PRECONDITION, Code.OUT_OF_RANGE}


@pytest.fixture(autouse=True)
def _is_well_afterwards(server: Server) -> Iterator[None]:
    yield
    check = health_pb2.HealthCheckRequest(service="facnet.v1.ValidationService")
    with grpc.insecure_channel(server.target) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(check, timeout=20)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    eventually(lambda: server.running.background.is_idle)


def raw(server: Server, method: MethodDescriptor, data: bytes, **options: Any) -> Refusal | None:
    """Make a call with any bytes as its only request."""
    kind = ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")
    call = getattr(server.channel, "_".join(kind))(f"/{method.containing_service.full_name}/{method.name}")
    request = iter([data]) if method.client_streaming else data
    try:
        answer = call(request, timeout=20, **options)
        if method.server_streaming:
            next(answer, None)
            answer.cancel()
    except grpc.RpcError as error:
        return Refusal(error)
    return None


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
    method = next(method for method in METHODS if method.name == "GetValidation")
    with grpc.insecure_channel(server.target, [("grpc.max_send_message_length", -1)]) as channel:
        call = channel.unary_unary(f"/{method.containing_service.full_name}/{method.name}")
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
            references=References(),
            stopping=Stopping(),
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
    eventually(lambda: not server.running.hub._topics, 20)


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
    eventually(lambda: not server.running.hub._topics, 20)
    assert resident() - before < 100 * MIB


@pytest.mark.parametrize("size", [17 << 10, 64 << 10, MIB])
def test_giant_headers_are_refused(server: Server, size: int) -> None:
    many = tuple((f"x-{number}", "y" * 1000) for number in range(size // 1000))
    for metadata in ((("authorization", "Bearer " + "x" * size),), many):
        request = pb.ListValidationsRequest()
        with pytest.raises(grpc.RpcError) as caught:
            server.stub.ListValidations(request, metadata=metadata, timeout=20)
        assert caught.value.code() is Code.RESOURCE_EXHAUSTED


Way = tuple[FieldDescriptor, ...]


def strings(message: Descriptor, above: Way = ()) -> Iterator[Way]:
    """The way to each text that a message may hold: in itself, in messages within it, in lists and in maps."""
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            yield (*above, field)
        elif field.message_type is not None and field.message_type not in [one.message_type for one in above]:
            yield from strings(field.message_type, (*above, field))


def holding(way: Way, content: bytes) -> bytes:
    """A message that has `content` there and nothing else, whether that may be or not."""
    for field in reversed(way):
        content = bytes([*_varint(field.number << 3 | 2), *_varint(len(content))]) + content
    return content


def _varint(number: int) -> Iterator[int]:
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


WITH_TEXT = [method for method in METHODS if any(strings(method.input_type))]


@pytest.mark.parametrize("method", WITH_TEXT, ids=lambda method: method.full_name.removeprefix("facnet.v1."))
def test_text_that_is_no_utf_8_is_refused_in_every_field(server: Server, method: MethodDescriptor) -> None:
    for way in strings(method.input_type):
        name = ".".join(field.name for field in way)
        for junk in (b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"a\x80b"):
            refusal = raw(server, method, holding(way, junk))
            assert refusal, name
            assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"), name
            assert "\\x" not in refusal.message


def test_every_text_is_found() -> None:
    ways = {".".join(field.name for field in way) for method in METHODS for way in strings(method.input_type)}
    assert {"validation_id", "header.file_name", "header.labels.key", "header.labels.value", "rule_ids"} <= ways


@pytest.mark.parametrize(
    "junk", [b"'; DROP TABLE validation_runs; --", b"%", b"\\", b"$(id)", b"{0}", b"\xf0\x9f\x92\xa3"]
)
def test_text_is_only_text(server: Server, junk: bytes) -> None:
    run_id = submit(server)
    filters = pb.ListValidationsRequest(file_name_contains=junk.decode(), batch_id=junk.decode())
    assert not server.stub.ListValidations(filters).validations
    assert server.stub.GetValidation(pb.GetValidationRequest(validation_id=str(run_id))).validation.validation_id


@pytest.mark.parametrize("method", METHODS, ids=IDS)
def test_nonsense_is_answered_calmly(server: Server, method: MethodDescriptor) -> None:
    dice = random.Random(method.full_name)
    seeds = [_filled(method.input_type, dice) for _ in range(12)]
    for seed in seeds:
        for data in (seed, _mutated(seed, dice), _mutated(seed, dice), dice.randbytes(dice.randrange(200))):
            refusal = raw(server, method, data)
            assert (refusal.code if refusal else Code.OK) in CALM, data
            assert not refusal or "Traceback" not in refusal.message


def _filled(kind: Descriptor, dice: random.Random, depth: int = 3) -> bytes:
    """Return a message whose fields are filled with what fits the type and makes no sense, and so are those in it."""
    message = GetMessageClass(kind)()
    choices: dict[int, Callable[[], Any]] = {
        FieldDescriptor.TYPE_STRING: lambda: dice.choice(["", "x" * 300, str(uuid4()), "\0", "é\u202e", "-1", "a,b"]),
        FieldDescriptor.TYPE_BYTES: lambda: dice.randbytes(20),
        FieldDescriptor.TYPE_BOOL: lambda: True,
        FieldDescriptor.TYPE_INT32: lambda: dice.choice([-(2**31), -1, 0, 1, 2**31 - 1]),
        FieldDescriptor.TYPE_INT64: lambda: dice.choice([-(2**63), -1, 0, 1, 2**63 - 1]),
        FieldDescriptor.TYPE_ENUM: lambda: dice.choice([-1, 0, 1, 99]),
    }
    parts = []
    for field in kind.fields:
        if dice.random() > 0.7:
            continue
        if field.message_type is not None and depth:
            inner = _filled(field.message_type, dice, depth - 1)
            parts += [holding((field,), inner)] * (dice.choice([1, 3]) if field.is_repeated else 1)
        elif field.type in choices:
            value = choices[field.type]()
            if field.is_repeated:
                getattr(message, field.name).extend([value] * dice.choice([1, 3, 200]))
            else:
                setattr(message, field.name, value)
    return bytes(message.SerializeToString()) + b"".join(parts)


def _mutated(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randrange(1, 5)):
        position = dice.randrange(len(changed) + 1)
        changed[position:position] = dice.randbytes(dice.randrange(1, 4))
        if dice.random() < 0.5:
            del changed[dice.randrange(len(changed)) :]
    return bytes(changed)


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
