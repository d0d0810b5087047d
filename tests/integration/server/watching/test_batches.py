"""Batches over the real port: followed to their end, summed up, and searched for lines that are in several files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import grpc
import pyarrow as pa
import pytest
from hooks import do_nothing
from serving import Server, Worker, refused, submit

from facnet_client import FacnetClient, NotFound, Status, Unavailable
from facnet_client.retry import Retry
from facnet_grpc.errors import Reason, TerminalError, TransientError
from facnet_grpc.gen.facnet.v1 import result_pb2, validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.billing import BILLING_SCHEMA
from facnet_grpc.model.summary import Summary
from facnet_grpc.server.main import Tuning
from facnet_grpc.storage.postgres.records import RecordWriter

pytestmark = pytest.mark.system

TUNING = Tuning(batch_poll_seconds=0.02)
DAY = date(2025, 1, 1)


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A server that reads batches often."""
    return make_server(tuning=TUNING)


def line(number: int, ramq_id: str | None, **changes: Any) -> dict[str, Any]:
    return {
        "record_number": number,
        "ramq_id": ramq_id,
        "service_date": DAY,
        "code": "15803",
        "preliminary_cents": 4285,
        "doctor_key": "1234567",
        "doctor_name": "Martin, Marie",
        "patient_key": "TREM12345678",
        **changes,
    }


def complete(server: Server, name: str, rows: list[dict[str, Any]], batch: str = "lot") -> UUID:
    """A completed run of a batch, with these lines."""
    run_id = submit(server, name.encode(), file_name=name, batch_id=batch)
    worker = Worker(server, run_id).start()
    with server.database.connection() as conn:
        writer = RecordWriter(conn, run_id)
        writer.write(pa.RecordBatch.from_pylist(rows, schema=BILLING_SCHEMA))
        writer.close()
    worker.complete(summary=Summary(at_risk_cents=1000, potential_gain_cents=5))
    return run_id


def get(server: Server, batch: str = "lot", **asked: Any) -> pb.GetBatchResponse:
    return server.stub.GetBatch(
        pb.GetBatchRequest(batch_id=batch, **asked),
        metadata=(("accept-language", "en"),),
    )


def watch(server: Server, **asked: Any) -> Any:
    return server.stub.WatchValidation(pb.WatchValidationRequest(**asked))


def test_a_batch_is_summed_up(server: Server) -> None:
    first = complete(server, "a.csv", [line(1, "R1")])
    complete(server, "b.csv", [line(1, "R2")])
    complete(server, "c.csv", [line(1, "R1")], batch="another")
    submit(server, b"waiting", batch_id="lot")
    Worker(server, submit(server, b"bad", batch_id="lot")).start().fail(TerminalError(Reason.HEADER_ONLY))

    found = get(server)
    assert (found.counts.batch_id, found.counts.completed, found.counts.queued, found.counts.failed) == ("lot", 2, 1, 1)
    assert found.status == validation_pb2.VALIDATION_STATUS_PROCESSING
    assert 0 < found.percent < 100
    assert (found.total_rows, found.result_counts.error) == (20, 2)
    assert (found.at_risk.units, found.potential_gain.nanos) == (20, 100_000_000)
    assert [one.file_name for one in found.validations][:2] == ["a.csv", "b.csv"]
    assert found.validations[0].validation_id == str(first)
    assert not found.HasField("duplicate_count")


def test_lines_that_are_in_several_files_are_told_once(server: Server) -> None:
    rows = [
        line(1, "R1"),  # in three files
        line(2, "R2"),  # twice in one file only
        line(3, "R2"),
        line(4, "R3"),  # other code elsewhere
        line(5, "R4"),  # its reversal elsewhere
        line(6, None),  # without an id
        line(7, "R5", doctor_key="7654321"),  # other doctor elsewhere
        line(8, "R6", service_date=date(2024, 12, 31)),  # in two files
    ]
    runs = [complete(server, "a.csv", rows)]
    runs.append(complete(server, "b.csv", [line(9, "R1"), line(10, "R3", code="15804"), line(11, None)]))
    others = [line(1, "R4", preliminary_cents=-4285), line(2, "R5"), line(3, "R1")]
    runs.append(complete(server, "c.csv", [*others, line(4, "R6", service_date=rows[7]["service_date"])]))
    complete(server, "d.csv", [line(1, "R2")], batch="another")

    found = get(server, include_duplicates=True)
    assert found.duplicate_count == 2
    late, thrice = found.duplicates
    assert (late.ramq_id, late.service_date) == ("R6", "2024-12-31")
    assert [(one.validation_id, one.file_name, one.record_number) for one in thrice.places] == [
        (str(runs[0]), "a.csv", 1),
        (str(runs[1]), "b.csv", 9),
        (str(runs[2]), "c.csv", 3),
    ]
    assert (thrice.severity, thrice.ramq_id, thrice.code) == (result_pb2.SEVERITY_WARNING, "R1", "15803")
    assert "a.csv (1), b.csv (9) and c.csv (3)" in thrice.message
    assert thrice.solution
    assert not [secret for secret in ("Martin", "1234567", "TREM") if secret in str(found)]


def test_many_duplicates_are_counted_and_the_first_listed(make_server: Callable[..., Server]) -> None:
    server = make_server(tuning=replace(TUNING, max_duplicates=2, max_duplicate_places=1))
    for name in ("a.csv", "b.csv"):
        complete(server, name, [line(number, f"R{number}") for number in range(1, 6)])

    found = get(server, include_duplicates=True)
    assert (found.duplicate_count, [one.ramq_id for one in found.duplicates]) == (5, ["R1", "R2"])
    assert [len(one.places) for one in found.duplicates] == [1, 1]


def test_a_batch_is_followed_to_its_end(server: Server) -> None:
    one = submit(server, b"1" * 300, batch_id="lot")
    two = submit(server, b"2" * 100, batch_id="lot")
    call = watch(server, batch_id="lot")

    first = next(call)
    assert (first.status, first.progress.percent, first.batch.queued) == (validation_pb2.VALIDATION_STATUS_QUEUED, 0, 2)
    assert (first.validation_id, first.progress.total_bytes) == ("", 400)
    worker = Worker(server, one).start()
    worker.store(50.0, bytes_parsed=150)
    half = next(message for message in call if message.progress.percent)
    assert (half.progress.percent, half.progress.bytes_parsed, half.batch.processing) == (37.5, 150, 1)
    assert half.status == validation_pb2.VALIDATION_STATUS_PROCESSING
    worker.release()  # its next attempt begins at nought
    Worker(server, one).start().complete()
    Worker(server, two).start().fail(TerminalError(Reason.HEADER_ONLY))
    rest = list(call)

    percents = [message.progress.percent for message in [first, half, *rest]]
    assert percents == sorted(percents)
    last = rest[-1]
    assert (last.status, last.progress.percent) == (validation_pb2.VALIDATION_STATUS_FAILED, 100)
    assert (last.batch.completed, last.batch.failed) == (1, 1)


def test_a_watch_goes_on_where_another_broke_off(server: Server) -> None:
    worker = Worker(server, submit(server, b"1" * 100, batch_id="lot")).start()
    worker.store(50.0)
    seen = next(watch(server, batch_id="lot"))
    worker.release()
    Worker(server, worker.run_id).start()

    again = next(watch(server, batch_id="lot", after_cursor=seen.cursor))
    assert (seen.progress.percent, again.progress.percent) == (50, 50)
    assert refused(lambda: next(watch(server, batch_id="other", after_cursor=seen.cursor))).reason == "BAD_CURSOR"


def test_a_watch_outlives_postgresql_but_not_the_server(server: Server) -> None:
    worker = Worker(server, submit(server, batch_id="lot")).start()
    call = watch(server, batch_id="lot")
    next(call)
    polls = []

    def away() -> None:
        polls.append(1)
        if len(polls) == 3:
            worker.store(10.0)
            server.hooked_database.before_connection = do_nothing
        raise TransientError

    server.hooked_database.before_connection = away
    assert next(message for message in call if message.progress.percent).progress.percent == 10

    server.loop.call_soon_threadsafe(server.running.batch_hub.end_watches)
    assert refused(lambda: list(call)).reason == "SHUTTING_DOWN"


@pytest.mark.parametrize(
    "asked",
    [{"batch_id": "x" * 129}, {"batch_id": "a\x00b"}, {"batch_id": "lot", "validation_id": "x"}],
)
def test_nonsense_is_refused(server: Server, asked: dict[str, str]) -> None:
    refusal = refused(lambda: list(watch(server, **asked)))
    assert (refusal.code, refusal.params["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "batch_id")


def test_batches_that_nobody_has_do_not_exist(server: Server) -> None:
    with server.database.connection() as conn:
        complete(server, "a.csv", [line(1, "R1")])
        conn.execute("UPDATE validation_runs SET owner = 'somebody else'")

    for call in (lambda: get(server), lambda: list(watch(server, batch_id="lot"))):
        refusal = refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "BATCH_NOT_FOUND")


def test_the_client_has_values_for_it(server: Server) -> None:
    for name in ("a.csv", "b.csv"):
        complete(server, name, [line(1, "R1")])
    with FacnetClient(server.target, language="fr", retry=Retry(connect=0.1)) as client:
        (end,) = client.watch_batch("lot")
        found = client.batch("lot", duplicates=True)
        with pytest.raises(NotFound):
            client.batch("none")

    assert (end.status, end.batch.runs, end.batch.over) == (Status.COMPLETED, 2, 2)
    assert (found.counts, found.at_risk_cents, found.duplicate_count) == (end.batch, 2000, 1)
    assert [place.file_name for place in found.duplicates[0].places] == ["a.csv", "b.csv"]
    with FacnetClient("127.0.0.1:1", retry=Retry(connect=0.1)) as nobody, pytest.raises(Unavailable):
        list(nobody.watch_batch("lot"))
