"""What clients and bad networks do with SubmitValidation and GetUpload, against a server with a real PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import google_crc32c
import grpc
import pytest
import redis
from hooks import do_nothing, fail
from serving import NOWHERE, Refusal, Server, eventually, messages, refused, sha256, submit

from facnet_grpc.errors import Conflict, LimitExceeded, NotFound, Reason
from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub
from facnet_grpc.jobs.contract import QUEUE
from facnet_grpc.jobs.queue import NAMESPACE
from facnet_grpc.model.run import Priority, Run, RunStatus
from facnet_grpc.server.main import Tuning
from facnet_grpc.storage.postgres import runs, uploads

pytestmark = pytest.mark.system

DATA = bytes(range(256)) * 40  # 10,240 bytes: eleven chunks of 1,000


def stored(server: Server, run_id: UUID) -> Run:
    with server.database.connection() as conn:
        return runs.get(conn, run_id)


def blob(server: Server, run: Run) -> bytes:
    assert run.blob_key
    with server.blobs.open(run.blob_key) as file:
        return file.read()


def everything(server: Server) -> tuple[int, int, int, int]:
    """Runs, uploads, blobs and parts that there are."""
    with server.database.connection() as conn:
        counts = [conn.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("validation_runs", "uploads")]
    return (
        *(int(count[0]) for count in counts if count),
        len(list(server.blobs.blobs())),
        len(list(server.blobs.parts())),
    )


def get_upload(server: Server, upload_id: object) -> pb.GetUploadResponse:
    return server.stub.GetUpload(pb.GetUploadRequest(upload_id=str(upload_id)))


def submitting(server: Server, requests: Iterator[pb.SubmitValidationRequest]) -> Callable[[], Any]:
    return lambda: server.stub.SubmitValidation(requests, timeout=20)


def test_a_file_becomes_a_queued_run_with_its_bytes(server: Server, redis_client: redis.Redis) -> None:
    answer = server.stub.SubmitValidation(
        messages(
            DATA,
            file_name="../réclamations 1.csv",
            size_bytes=len(DATA),
            sha256=sha256(DATA).upper(),
            batch_id="b1",
            priority=validation_pb2.PRIORITY_HIGH,
            labels={"site": "A", "empty": ""},
            encoding_hint="cp1252",
            delimiter_hint="\t",
        ),
    )
    run = stored(server, UUID(answer.validation_id))
    assert answer.job_id == f"validation-{run.id}"
    assert answer.status == validation_pb2.VALIDATION_STATUS_QUEUED
    assert blob(server, run) == DATA
    assert (run.status, run.size_bytes, run.sha256) == (RunStatus.QUEUED, len(DATA), sha256(DATA))
    assert (run.owner, run.file_name, run.batch_id) == ("local", "../réclamations 1.csv", "b1")
    assert (run.priority, run.labels) == (Priority.HIGH, {"site": "A", "empty": ""})
    assert (run.encoding_hint, run.delimiter_hint) == ("cp1252", "\t")
    assert everything(server) == (1, 1, 1, 0)
    eventually(lambda: redis_client.llen(f"{NAMESPACE}:{QUEUE}") == 1)


@pytest.mark.parametrize("size", [1, 999, 300_000, 1 << 20])
def test_chunks_of_any_size_arrive_in_order(server: Server, size: int) -> None:
    data = DATA if size == 1 else DATA * 300
    data = data[:2000] if size == 1 else data
    assert blob(server, stored(server, submit(server, data, size=size))) == data


def test_checksums_of_chunks_are_looked_at(server: Server) -> None:
    def requests(crc: int) -> Iterator[pb.SubmitValidationRequest]:
        yield pb.SubmitValidationRequest(header=pb.UploadHeader(file_name="a", upload_id=str(upload_id)))
        yield pb.SubmitValidationRequest(
            chunk=pb.UploadChunk(offset=0, data=b"good", crc32c=google_crc32c.value(b"good"))
        )
        yield pb.SubmitValidationRequest(chunk=pb.UploadChunk(offset=4, data=b"bad", crc32c=crc))

    upload_id = uuid4()
    refusal = refused(submitting(server, requests(1)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DATA_LOSS, "CHUNK_CORRUPT")
    assert refusal.params == {"offset": "4"}
    assert get_upload(server, upload_id).committed_bytes == 4, "what arrived well is kept"
    upload_id = uuid4()
    assert submitting(server, requests(google_crc32c.value(b"bad")))().validation_id


@pytest.mark.parametrize(
    "requests",
    [
        [],
        [pb.SubmitValidationRequest(chunk=pb.UploadChunk(data=b"x"))],
        [pb.SubmitValidationRequest()],
    ],
)
def test_the_header_comes_first(server: Server, requests: list[pb.SubmitValidationRequest]) -> None:
    refusal = refused(submitting(server, iter(requests)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "HEADER_REQUIRED")


def test_there_is_one_header(server: Server) -> None:
    refusal = refused(submitting(server, iter([*messages(b"x"), *messages(b"y")])))
    assert (refusal.code, refusal.params["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "message")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file_name", ""),
        ("file_name", "a\nb"),
        ("file_name", "a\u202eb"),
        ("file_name", "x" * 256),
        ("size_bytes", -1),
        ("sha256", "abc"),
        ("idempotency_key", "k" * 129),
        ("idempotency_key", "\x00"),
        ("upload_id", "../../etc/passwd"),
        ("batch_id", "b" * 129),
        ("priority", 99),
        ("labels", {str(number): "" for number in range(17)}),
        ("labels", {"": "x"}),
        ("labels", {"x": "v" * 65}),
        ("encoding_hint", "e" * 65),
        ("delimiter_hint", ";;"),
        ("delimiter_hint", "\n"),
    ],
)
def test_fields_that_cannot_be_taken_are_named(server: Server, field: str, value: Any) -> None:
    refusal = refused(submitting(server, messages(b"x", **{field: value})))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    violations = refusal.details["BadRequest"].field_violations
    assert [violation.field for violation in violations] == [f"header.{field}"]
    assert everything(server) == (0, 0, 0, 0)


def test_a_rule_that_nobody_knows_is_refused(server: Server) -> None:
    refusal = refused(submitting(server, messages(b"x", rule_ids=["nonsense"])))
    assert (refusal.code, refusal.params["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "rule_ids")


@pytest.mark.parametrize("header", [{}, {"size_bytes": 0}])
def test_an_empty_file_is_refused(server: Server, header: dict[str, int]) -> None:
    refusal = refused(submitting(server, messages(b"", **header)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "EMPTY_FILE")
    assert everything(server) == (0, 0, 0, 0)


@pytest.mark.parametrize("header", [{}, {"size_bytes": 5001}])
def test_a_file_over_the_limit_is_refused(make_server: Callable[..., Server], header: dict[str, int]) -> None:
    server = make_server(max_file_bytes=5000)
    refusal = refused(submitting(server, messages(DATA, **header)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "FILE_TOO_LARGE")
    assert refusal.params == {"max_bytes": "5000"}
    assert everything(server) == (0, 0, 0, 0)
    assert submit(server, DATA[:5000])


def test_a_chunk_over_the_limit_is_refused(make_server: Callable[..., Server]) -> None:
    refusal = refused(submitting(make_server(max_chunk_bytes=999), messages(DATA)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CHUNK_TOO_LARGE")


def test_a_message_over_what_grpc_takes_is_refused(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.SubmitValidation(messages(b"x" * (3 << 20), size=3 << 20))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"size_bytes": len(DATA) + 1}, "SIZE_MISMATCH"),
        ({"size_bytes": len(DATA) - 1}, "SIZE_MISMATCH"),
        ({"sha256": "0" * 64}, "CHECKSUM_MISMATCH"),
    ],
)
def test_another_file_than_announced_is_not_kept(server: Server, header: dict[str, Any], reason: str) -> None:
    refusal = refused(submitting(server, messages(DATA, **header)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.DATA_LOSS, reason)
    assert everything(server) == (0, 0, 0, 0)


def ending(data: bytes, said: str, **header: Any) -> Iterator[pb.SubmitValidationRequest]:
    """Make the messages of a client that says the SHA-256 of a file at its end."""
    yield from messages(data, **header)
    yield pb.SubmitValidationRequest(chunk=pb.UploadChunk(offset=len(data), file_sha256=said))


def test_what_the_file_is_may_be_said_at_its_end(server: Server) -> None:
    run_id = UUID(server.stub.SubmitValidation(ending(DATA, sha256(DATA).upper()), timeout=10).validation_id)
    assert stored(server, run_id).sha256 == sha256(DATA)


@pytest.mark.parametrize(
    ("said", "header", "code", "reason"),
    [
        ("0" * 64, {}, grpc.StatusCode.DATA_LOSS, "CHECKSUM_MISMATCH"),
        ("0" * 64, {"sha256": sha256(DATA)}, grpc.StatusCode.DATA_LOSS, "CHECKSUM_MISMATCH"),
        ("0" * 64, {"idempotency_key": "known"}, grpc.StatusCode.DATA_LOSS, "CHECKSUM_MISMATCH"),
    ],
)
def test_another_file_than_its_end_says_is_not_kept(
    server: Server, said: str, header: dict[str, Any], code: grpc.StatusCode, reason: str
) -> None:
    submit(server, DATA, idempotency_key="known")
    before = everything(server)
    refusal = refused(submitting(server, ending(DATA, said, **header)))
    assert (refusal.code, refusal.reason) == (code, reason)
    assert everything(server) == before


def test_an_end_that_is_no_sha256_is_refused_and_the_upload_kept(server: Server) -> None:
    upload_id = uuid4()
    refusal = refused(submitting(server, ending(DATA, "abc", upload_id=str(upload_id))))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    eventually(lambda: get_upload(server, upload_id).committed_bytes == len(DATA))


@pytest.mark.parametrize("offset", [500, 20_000, -1])
def test_a_chunk_elsewhere_is_told_where(server: Server, offset: int) -> None:
    requests = [
        *messages(DATA[:1000], size=1000),
        pb.SubmitValidationRequest(chunk=pb.UploadChunk(offset=offset, data=b"x")),
    ]
    refusal = refused(submitting(server, iter(requests)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.OUT_OF_RANGE, "WRONG_OFFSET")
    assert refusal.params["expected"] == "1000"


def broken(server: Server, upload_id: UUID, data: bytes, *, at_least: int = 0) -> None:
    """Send a file and break the stream before its end, once that many bytes are stored."""
    sent, over = threading.Event(), threading.Event()

    def requests() -> Iterator[pb.SubmitValidationRequest]:
        yield from messages(data, size=max(1000, len(data) // 8), upload_id=str(upload_id))
        sent.set()
        over.wait(60)  # a stream that ends by itself is a whole file

    call = server.stub.SubmitValidation.future(requests())
    assert sent.wait(30)
    eventually(lambda: (size := server.blobs.part_size(upload_id)) is not None and size >= at_least)
    call.cancel()
    over.set()


def test_a_broken_upload_is_gone_on_with(server: Server) -> None:
    upload_id, data = uuid4(), DATA * 100
    broken(server, upload_id, data[:600_000], at_least=300_000)
    eventually(lambda: server.running.background.is_idle)
    state = get_upload(server, upload_id)
    assert 300_000 <= state.committed_bytes <= 600_000
    assert 3500 < state.expire_time.seconds - time.time() < 3700
    assert not state.validation_id
    assert everything(server) == (0, 1, 0, 1)

    at = state.committed_bytes
    rest = messages(data, offset=at, size=100_000, upload_id=str(upload_id), sha256=sha256(data), size_bytes=len(data))
    run_id = UUID(server.stub.SubmitValidation(rest, timeout=10).validation_id)
    assert blob(server, stored(server, run_id)) == data
    state = get_upload(server, upload_id)
    assert (state.validation_id, state.committed_bytes) == (str(run_id), len(data))


def test_a_broken_upload_never_passes_for_a_whole_file(server: Server) -> None:
    for _ in range(20):
        broken(server, uuid4(), DATA[:3000])
    eventually(lambda: server.running.background.is_idle)
    assert everything(server) == (0, 20, 0, 20)


def test_an_upload_without_an_id_can_be_gone_on_with_too(server: Server) -> None:
    gate = threading.Event()

    def requests() -> Iterator[pb.SubmitValidationRequest]:
        yield from messages(DATA[:2000])
        gate.wait(60)

    call = server.stub.SubmitValidation.future(requests())
    upload_id = dict(call.initial_metadata())["x-upload-id"]
    eventually(lambda: list(server.blobs.parts()))
    call.cancel()
    gate.set()
    eventually(lambda: server.running.background.is_idle)
    at = get_upload(server, upload_id).committed_bytes
    assert blob(server, stored(server, submit(server, DATA, offset=at, upload_id=upload_id))) == DATA


def test_an_upload_that_became_a_run_answers_with_it(server: Server) -> None:
    upload_id = str(uuid4())
    run_id = submit(server, DATA, upload_id=upload_id)
    assert submit(server, DATA, upload_id=upload_id) == run_id
    assert submit(server, DATA, offset=5000, upload_id=upload_id, sha256=sha256(DATA)) == run_id
    refusal = refused(submitting(server, messages(b"other", upload_id=upload_id, sha256=sha256(b"other"))))
    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    assert everything(server) == (1, 1, 1, 0)


def test_somebody_elses_upload_does_not_exist(server: Server) -> None:
    upload_id = uuid4()
    with server.database.connection() as conn:
        uploads.open_(conn, upload_id=upload_id, owner="somebody", file_name="f", ttl_seconds=60)
    for call in (
        submitting(server, messages(DATA, upload_id=str(upload_id))),
        lambda: get_upload(server, upload_id),
        lambda: get_upload(server, uuid4()),
    ):
        refusal = refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND")
        assert refusal.details["ResourceInfo"].resource_type == "facnet.v1.Upload"


def test_one_stream_writes_to_an_upload_at_a_time(make_server: Callable[..., Server]) -> None:
    server = make_server(tuning=Tuning(upload_busy_seconds=0.2))
    upload_id = uuid4()
    with server.blobs.open_part(upload_id):
        refusal = refused(submitting(server, messages(DATA, upload_id=str(upload_id))))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "UPLOAD_BUSY")
    assert "RetryInfo" in refusal.details


def test_a_stream_that_takes_over_while_the_first_is_finishing_gets_its_run(server: Server) -> None:
    upload_id = uuid4()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: submit(server, DATA, upload_id=str(upload_id)), range(4)))
    assert len(set(answers)) == 1
    assert everything(server) == (1, 1, 1, 0)


def test_a_stream_that_takes_over_just_before_the_first_has_committed_gets_its_run(server: Server) -> None:
    """The first one's part is a blob already and its run not yet to be seen: the second one makes a part of its own."""
    upload_id = uuid4()
    opened, busy, is_blob, go_on = (threading.Event() for _ in range(4))

    def note(error: Exception | None) -> None:
        (busy if isinstance(error, Conflict) else opened).set()

    def slowly() -> Iterator[pb.SubmitValidationRequest]:
        yield from messages(DATA, upload_id=str(upload_id))
        busy.wait(10)

    def hold() -> None:
        if not is_blob.is_set():
            is_blob.set()
            go_on.wait(10)

    server.blobs.after_open_part = note
    server.blobs.after_commit = hold
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.stub.SubmitValidation, slowly(), timeout=20)
        assert opened.wait(10)
        second = pool.submit(submit, server, DATA, upload_id=str(upload_id))
        assert is_blob.wait(10)
        eventually(lambda: somebody_waits_for_a_lock(server))
        go_on.set()
        assert str(second.result(20)) == first.result(20).validation_id
    assert everything(server) == (1, 1, 1, 0)


def somebody_waits_for_a_lock(server: Server) -> bool:
    with server.database.connection() as conn:
        return bool(
            conn.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
        )


def test_the_same_key_gives_the_same_run_and_stores_nothing_twice(server: Server) -> None:
    run_id = submit(server, DATA, idempotency_key="k")
    assert submit(server, DATA, idempotency_key="k") == run_id
    assert everything(server)[::2] == (1, 1)
    refusal = refused(submitting(server, messages(DATA + b"x", idempotency_key="k")))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT")


def test_the_same_key_at_the_same_time_gives_one_run(server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: submit(server, DATA, idempotency_key="k"), range(8)))
    assert len(set(answers)) == 1
    runs_, _, blobs, parts = everything(server)
    assert (runs_, blobs, parts) == (1, 1, 0)


def test_too_many_open_uploads_are_refused(make_server: Callable[..., Server]) -> None:
    server = make_server(max_open_uploads=2)
    for _ in range(2):
        broken(server, uuid4(), DATA)
    eventually(lambda: server.running.background.is_idle)
    refusal = refused(submitting(server, messages(DATA)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_UPLOADS")


def test_a_full_disk_is_told_and_breaks_nothing(server: Server) -> None:
    server.blobs.before_write = fail(LimitExceeded(Reason.DISK_FULL))
    refusal = refused(submitting(server, messages(DATA)))
    server.blobs.before_write = do_nothing
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert submit(server, DATA)


def test_redis_being_down_neither_fails_nor_slows_a_submit(make_server: Callable[..., Server]) -> None:
    server = make_server(redis=NOWHERE)
    submit(server, DATA)
    took = []
    for _ in range(3):
        began = time.monotonic()
        run_id = submit(server, DATA)
        took.append(time.monotonic() - began)
        assert stored(server, run_id).status is RunStatus.QUEUED
    assert min(took) < 0.5, "far below the second that Redis may take"


def test_a_failing_commit_keeps_the_part(server: Server) -> None:
    upload_id = uuid4()
    server.blobs.before_commit = fail(NotFound())
    refusal = refused(submitting(server, messages(DATA, upload_id=str(upload_id))))
    server.blobs.before_commit = do_nothing
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    assert everything(server) == (0, 1, 0, 1)
    assert get_upload(server, upload_id).committed_bytes == len(DATA)
    assert blob(server, stored(server, submit(server, DATA, offset=len(DATA), upload_id=str(upload_id)))) == DATA


def test_aio_clients_see_the_real_status(server: Server) -> None:
    async def upload() -> Refusal:
        async with grpc.aio.insecure_channel(server.target) as channel:
            requests = [*messages(b"x" * 1000), *messages(b"y" * (8 << 20), offset=1, size=1 << 20)]
            call = ValidationServiceStub(channel).SubmitValidation()
            for request in requests:
                await call.write(request)
            await call.done_writing()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            return Refusal(caught.value)

    assert asyncio.run(upload()).code is grpc.StatusCode.INVALID_ARGUMENT


def test_errors_come_in_the_callers_language_with_a_request_id(server: Server) -> None:
    def call(language: str) -> Refusal:
        metadata = (("accept-language", language), ("x-request-id", "mine-1"))
        return refused(lambda: server.stub.SubmitValidation(messages(b""), metadata=metadata))

    english, french = call("en-CA,fr;q=0.5"), call("de")
    assert [text.locale for text in english.texts] == ["en-CA", "en-CA"], "what is wrong, and what to do"
    assert [text.locale for text in french.texts] == ["fr-CA", "fr-CA"]
    assert english.message == french.message == english.texts[0].message
    assert french.texts[0].message != english.texts[0].message
    assert english.details["RequestInfo"].request_id == english.trailers["x-request-id"] == "mine-1"
    assert english.details["ErrorInfo"].domain == "facnet.v1"


def test_nothing_unexpected_is_told(server: Server) -> None:
    server.blobs.before_commit = fail(RuntimeError("TREM12345678"))
    refusal = refused(submitting(server, messages(DATA)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "TREM" not in str(refusal.trailers)
    assert list(refusal.params) == ["request_id"]


def test_memory_of_an_upload_is_bounded_while_the_disk_is_slow(server: Server) -> None:
    """A client may run ahead of a disk that stands still by less than 4 MiB."""
    gate = threading.Event()
    server.blobs.before_write = lambda: gate.wait(60)
    taken = 0

    def requests() -> Iterator[pb.SubmitValidationRequest]:
        nonlocal taken
        for request in messages(b"x" * (32 << 20), size=256 << 10):
            taken += len(request.chunk.data)
            yield request

    call = server.stub.SubmitValidation.future(requests())
    eventually(lambda: taken)
    last = 0
    while taken != last:
        last = taken
        time.sleep(0.5)  # that nothing happens can only be waited for
    assert taken < 4 << 20
    gate.set()
    assert call.result(60).validation_id
