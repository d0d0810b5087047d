"""The upload that comes chunk by chunk: the same promises as the stream, and the same upload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import google_crc32c
import grpc
import pytest
from hooks import do_nothing, fail
from serving import Server, Worker, eventually, messages, refused, sha256

from facnet_grpc.errors import LimitExceeded, Reason
from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.run import Run
from facnet_grpc.server.main import Tuning
from facnet_grpc.storage.postgres import runs

DATA = bytes(range(256)) * 40  # 10,240 bytes


def send(server: Server, upload_id: object, offset: int, data: bytes, *, finish: bool = False, **header: Any):
    crc = header.pop("crc32c", google_crc32c.value(data))
    whole = header.pop("file_sha256", "")
    request = pb.UploadChunkRequest(
        header=pb.UploadHeader(**{"file_name": "claims.csv", "upload_id": str(upload_id), **header}),
        chunk=pb.UploadChunk(offset=offset, data=data, crc32c=crc, file_sha256=whole),
        finish=finish,
    )
    return server.stub.UploadChunk(request, timeout=10)


def finish(server: Server, upload_id: object, **header: Any):
    given = pb.UploadHeader(**{"file_name": "claims.csv", "upload_id": str(upload_id), **header})
    return server.stub.UploadChunk(pb.UploadChunkRequest(header=given, finish=True), timeout=10)


def committed(server: Server, upload_id: object) -> int:
    return server.stub.GetUpload(pb.GetUploadRequest(upload_id=str(upload_id))).committed_bytes


def stored(server: Server, run_id: str) -> Run:
    with server.database.connection() as conn:
        return runs.get(conn, UUID(run_id))


def content(server: Server, run_id: str) -> bytes:
    with server.blobs.open(stored(server, run_id).blob_key or "") as file:
        return file.read()


@pytest.mark.parametrize("last_is_empty", [True, False])
def test_chunks_become_a_run(server: Server, last_is_empty: bool) -> None:
    upload_id = uuid4()
    fields = {"size_bytes": len(DATA), "sha256": sha256(DATA), "batch_id": "b", "idempotency_key": "k"}
    for offset in range(0, len(DATA), 4000):
        data = DATA[offset : offset + 4000]
        last = offset + len(data) == len(DATA) and not last_is_empty
        answer = send(server, upload_id, offset, data, finish=last, **fields)
        assert answer.committed_bytes == offset + len(data)
        assert bool(answer.validation_id) is last
    if last_is_empty:
        answer = finish(server, upload_id, **fields)
    run = stored(server, answer.validation_id)
    assert (run.size_bytes, run.sha256, run.batch_id) == (len(DATA), sha256(DATA), "b")
    assert (answer.job_id, answer.status) == (run.job_id, validation_pb2.VALIDATION_STATUS_QUEUED)
    assert content(server, answer.validation_id) == DATA
    again = finish(server, upload_id, **fields)
    assert (again.validation_id, again.committed_bytes) == (answer.validation_id, len(DATA))
    assert list(server.blobs.parts()) == []


def test_a_chunk_that_was_sent_twice_is_refused_with_the_place_to_go_on(server: Server) -> None:
    upload_id = uuid4()
    send(server, upload_id, 0, DATA[:100])
    for offset in (0, 99, 101):
        refusal = refused(lambda offset=offset: send(server, upload_id, offset, b"x"))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.OUT_OF_RANGE, "WRONG_OFFSET")
        assert refusal.params["expected"] == "100"
    assert committed(server, upload_id) == 100


def test_a_stream_is_gone_on_with_by_chunks_and_the_other_way_round(make_server: Callable[..., Server]) -> None:
    server, impatient = make_server(), make_server(tuning=Tuning(upload_busy_seconds=0.2))
    upload_id, data, over = uuid4(), DATA * 100, Event()
    send(server, upload_id, 0, data[:3000])
    part = messages(data[:600_000], offset=3000, upload_id=str(upload_id), size=100_000)
    call = server.stub.SubmitValidation.future(_endless(part, over))
    eventually(lambda: committed(server, upload_id) > 3000)
    refusal = refused(lambda: send(impatient, upload_id, 6000, b"x"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "UPLOAD_BUSY")
    assert "RetryInfo" in refusal.details
    call.cancel()
    over.set()
    # A chunk that cannot be right is answered with the place to go on.
    place = int(refused(lambda: send(server, upload_id, 1 << 40, b"x")).params["expected"])
    assert send(server, upload_id, place, data[place:700_000]).committed_bytes == 700_000
    last = messages(data, offset=700_000, upload_id=str(upload_id), sha256=sha256(data), size=100_000)
    assert content(server, server.stub.SubmitValidation(last, timeout=10).validation_id) == data


def _endless(requests: Iterator[pb.SubmitValidationRequest], over: Event) -> Iterator[pb.SubmitValidationRequest]:
    yield from requests
    over.wait(60)


def test_what_is_damaged_is_not_kept_and_what_came_before_it_is(server: Server) -> None:
    upload_id = uuid4()
    send(server, upload_id, 0, DATA[:100])
    refusal = refused(lambda: send(server, upload_id, 100, DATA[100:200], crc32c=1))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DATA_LOSS, "CHUNK_CORRUPT")
    assert committed(server, upload_id) == 100
    wrong = {"sha256": sha256(b"something else")}
    refusal = refused(lambda: send(server, upload_id, 100, DATA[100:200], finish=True, **wrong))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DATA_LOSS, "CHECKSUM_MISMATCH")
    assert list(server.blobs.parts()) == []


def test_the_last_chunk_may_say_what_the_file_is(server: Server) -> None:
    upload_id = uuid4()
    send(server, upload_id, 0, DATA[:100])
    whole = send(server, upload_id, 100, DATA[100:], finish=True, file_sha256=sha256(DATA))
    assert content(server, whole.validation_id) == DATA
    upload_id = uuid4()
    send(server, upload_id, 0, DATA[:100])
    refusal = refused(lambda: send(server, upload_id, 100, DATA[100:], finish=True, file_sha256=sha256(DATA[100:])))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DATA_LOSS, "CHECKSUM_MISMATCH")
    assert list(server.blobs.parts()) == []


@pytest.mark.parametrize(
    ("reason", "ask"),
    [
        ("EMPTY_FILE", lambda server: finish(server, uuid4())),
        ("INVALID_ARGUMENT", lambda server: finish(server, "")),
        ("INVALID_ARGUMENT", lambda server: server.stub.UploadChunk(pb.UploadChunkRequest())),
        (
            "INVALID_ARGUMENT",
            lambda server: server.stub.UploadChunk(
                pb.UploadChunkRequest(header=pb.UploadHeader(file_name="a", upload_id=str(uuid4())))
            ),
        ),
        ("INVALID_ARGUMENT", lambda server: send(server, uuid4(), 0, b"x", rule_ids=["nonsense"])),
        ("FILE_TOO_LARGE", lambda server: send(server, uuid4(), 0, b"x", size_bytes=3 << 30)),
        ("SIZE_MISMATCH", lambda server: send(server, uuid4(), 0, b"xyz", size_bytes=2)),
        ("CHUNK_TOO_LARGE", lambda server: send(server, uuid4(), 0, bytes((1 << 20) + 1))),
    ],
)
def test_what_cannot_be_taken_is_refused(server: Server, reason: str, ask: Any) -> None:
    assert refused(lambda: ask(server)).reason == reason


def test_others_cannot_add_to_an_upload(server: Server) -> None:
    upload_id = uuid4()
    send(server, upload_id, 0, b"mine")
    with server.database.connection() as conn:
        conn.execute("UPDATE uploads SET owner = 'other'")
    assert refused(lambda: send(server, upload_id, 4, b"x")).reason == "UPLOAD_NOT_FOUND"


def test_a_full_disk_is_told_and_what_was_stored_is_kept(server: Server) -> None:
    upload_id = uuid4()
    send(server, upload_id, 0, DATA[:100])
    server.blobs.before_write = fail(LimitExceeded(Reason.DISK_FULL))
    refusal = refused(lambda: send(server, upload_id, 100, b"x"))
    server.blobs.before_write = do_nothing
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert send(server, upload_id, 100, DATA[100:200]).committed_bytes == 200


def test_the_same_key_gives_the_same_run_for_the_same_file_only(server: Server) -> None:
    first = send(server, uuid4(), 0, DATA, finish=True, idempotency_key="k")
    assert send(server, uuid4(), 0, DATA, finish=True, idempotency_key="k").validation_id == first.validation_id
    refusal = refused(lambda: send(server, uuid4(), 0, b"other", finish=True, idempotency_key="k"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT")
    assert list(server.blobs.parts()) == []
    Worker(server, UUID(first.validation_id)).start()
