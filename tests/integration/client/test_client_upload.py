"""Uploads: every byte once, in order, checked, whatever breaks on the way."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import tracemalloc

import grpc
import pytest
from fake_server import RUN_ID, rich_status

from facnet_client import FacnetClient, FacnetError, Priority, Refused, Retry, Status, Unavailable
from facnet_client.upload import CHUNK_BYTES


def content(chunks: float) -> bytes:
    return os.urandom(int(CHUNK_BYTES * chunks))


class Pipe(io.RawIOBase):
    """Something that gives its bytes once, a few at a time."""

    def __init__(self, data: bytes, step: int = 65536) -> None:
        self._rest = io.BytesIO(data)
        self._step = step

    def readable(self):
        return True

    def seekable(self):
        return False

    def read(self, size=-1):
        return self._rest.read(min(size, self._step))


def test_a_file_arrives_whole_with_its_size_and_hash(client, fake, tmp_path):
    data = content(2.5)
    path = tmp_path / "réclamations.csv"
    path.write_bytes(data)

    submitted = client.submit(
        path, batch_id="b", priority=Priority.HIGH, labels={"clinic": "7"}, rule_ids=["office_fee"]
    )

    assert submitted == type(submitted)(RUN_ID, f"validation-{RUN_ID}", Status.QUEUED)
    (header,) = fake.headers
    assert bytes(fake.uploads[header.upload_id]) == data
    assert header.file_name == "réclamations.csv"
    assert header.size_bytes == len(data)
    assert fake.hashes == [hashlib.sha256(data).hexdigest()]
    assert (header.batch_id, header.priority, dict(header.labels)) == ("b", 3, {"clinic": "7"})
    assert list(header.rule_ids) == ["office_fee"]
    assert fake.streams == [[0, CHUNK_BYTES, 2 * CHUNK_BYTES]]


def test_a_pipe_arrives_whole_without_a_size(client, fake):
    data = content(1.5)
    client.submit(Pipe(data), file_name="piped.csv")
    (header,) = fake.headers
    assert bytes(fake.uploads[header.upload_id]) == data
    assert not header.HasField("size_bytes")
    assert fake.hashes == [hashlib.sha256(data).hexdigest()]
    assert fake.streams == [[0, CHUNK_BYTES]]


def test_an_open_file_is_sent_from_where_it_stands(client, fake):
    data = content(1)
    file = io.BytesIO(data)
    file.seek(10)
    client.submit(file, file_name="x.csv")
    (header,) = fake.headers
    assert bytes(fake.uploads[header.upload_id]) == data[10:]
    assert header.size_bytes == len(data) - 10
    assert not file.closed


@pytest.mark.parametrize("make", [io.BytesIO, Pipe])
def test_a_broken_stream_goes_on_where_the_server_stopped(client, fake, make):
    data = content(5.5)
    fake.break_after = [2, 1]

    submitted = client.submit(make(data), file_name="x.csv")

    assert submitted.validation_id == RUN_ID
    assert [len(offsets) for offsets in fake.streams] == [2, 1, 3]
    assert [offsets[0] // CHUNK_BYTES for offsets in fake.streams] == [0, 2, 3]
    assert bytes(fake.uploads[fake.headers[0].upload_id]) == data
    assert fake.hashes == [hashlib.sha256(data).hexdigest()]
    assert len({header.upload_id for header in fake.headers}) == 1
    assert len({header.idempotency_key for header in fake.headers}) == 1


def test_a_lost_answer_does_not_make_a_second_run(client, fake):
    fake.lose_answer = True
    submitted = client.submit(io.BytesIO(content(1)), file_name="x.csv")
    assert submitted.validation_id == RUN_ID
    assert submitted.job_id == f"validation-{RUN_ID}"
    assert submitted.status is Status.COMPLETED  # what it is by now
    assert len(fake.streams) == 1


def test_two_submits_are_two_runs_unless_the_caller_says_otherwise(client, fake):
    client.submit(io.BytesIO(b"a"), file_name="x.csv")
    client.submit(io.BytesIO(b"a"), file_name="x.csv")
    client.submit(io.BytesIO(b"a"), file_name="x.csv", idempotency_key="mine")
    first, second, third = (header.idempotency_key for header in fake.headers)
    assert first != second
    assert third == "mine"


def test_it_gives_up_when_nothing_moves(client, fake):
    fake.break_after = [0] * 1000
    with pytest.raises(Unavailable) as caught:
        client.submit(io.BytesIO(content(1)), file_name="x.csv")
    assert caught.value.reason == "SHUTTING_DOWN"


def test_it_gives_up_soon_when_nobody_is_there():
    with (
        FacnetClient("127.0.0.1:1", retry=Retry(connect=0.2, patience=60, first_delay=0.01)) as client,
        pytest.raises(Unavailable) as caught,
    ):
        client.submit(io.BytesIO(b"a"), file_name="x.csv")
    assert caught.value.status is grpc.StatusCode.UNAVAILABLE


def test_a_refusal_is_not_repeated(client, fake):
    fake.refuse = rich_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "FILE_TOO_LARGE", "Trop grand.", "Coupez-le.")
    with pytest.raises(Refused) as caught:
        client.submit(io.BytesIO(content(1)), file_name="x.csv")
    assert (caught.value.reason, caught.value.message, caught.value.cure) == (
        "FILE_TOO_LARGE",
        "Trop grand.",
        "Coupez-le.",
    )
    assert len(fake.languages) == 1


def test_a_file_that_cannot_be_read_to_its_end_never_becomes_a_run(client, fake, caplog):
    class Broken(Pipe):
        def read(self, size=-1):
            block = super().read(size)
            if not block:
                raise OSError("the disk is gone")
            return block

    with pytest.raises(OSError, match="the disk is gone"):
        client.submit(Broken(content(1)), file_name="x.csv")
    assert fake.finished == {}
    assert not caplog.records


def test_a_pipe_that_lost_too_much_says_so(target, fake):
    fake.break_after = [6]
    original = fake.GetUpload

    def forgetful(request, context):
        answer = original(request, context)
        answer.committed_bytes = 0
        return answer

    fake.GetUpload = forgetful
    with (
        FacnetClient(target, retry=Retry(first_delay=0.01), replay_bytes=CHUNK_BYTES) as client,
        pytest.raises(FacnetError) as caught,
    ):
        client.submit(Pipe(content(8)), file_name="x.csv")
    assert caught.value.reason == "UPLOAD_LOST"


def test_memory_does_not_grow_with_the_file(client, fake):
    class Endless(io.RawIOBase):
        """64 MiB that exist only while they are read."""

        left = 64 << 20

        def seekable(self):
            return False

        def read(self, size=-1):
            size = min(size, self.left)
            self.left -= size
            return bytes(size)

    def swallow(request_iterator, context):
        for _ in request_iterator:
            pass
        return type(fake).SubmitValidation(fake, iter([_header()]), context)

    fake.SubmitValidation = swallow
    tracemalloc.start()
    try:
        client.submit(Endless(), file_name="x.csv")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 45 << 20  # 32 MiB of a pipe may have to be sent again


def _header():
    from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2  # noqa: PLC0415 - only this helper needs it

    return pb2.SubmitValidationRequest(header=pb2.UploadHeader(upload_id="x"))


def test_progress_is_told_from_zero_to_the_end(client, fake):
    told = []
    data = content(2.5)
    client.submit(io.BytesIO(data), file_name="x.csv", on_progress=lambda sent, size: told.append((sent, size)))
    assert [sent for sent, _ in told] == [0, CHUNK_BYTES, 2 * CHUNK_BYTES, len(data)]
    assert {size for _, size in told} == {len(data)}


def test_an_interrupted_caller_leaves_no_stream_behind(client, fake):
    entered, leave, over, told = (threading.Event() for _ in range(4))
    cancelled = []

    def until_cancelled(requests, context):
        if not context.add_callback(over.set):
            over.set()
        try:
            for _ in requests:
                pass
        finally:  # for the server the end of the requests may come before the word that nobody waits for an answer
            cancelled.append(over.wait(30))
            told.set()

    fake.SubmitValidation = until_cancelled

    class Slow(Pipe):
        def read(self, size=-1):
            entered.set()
            leave.wait(30)
            return b""

    thread = threading.Thread(target=_submit_quietly, args=(client, Slow(b"")))
    thread.start()
    assert entered.wait(30)
    client.close()
    leave.set()
    thread.join(30)
    assert not thread.is_alive()
    assert told.wait(60)
    assert cancelled == [True]


def _submit_quietly(client, file):
    with pytest.raises(Exception):  # noqa: B017 - whichever way a closed channel says it
        client.submit(file, file_name="x.csv")
