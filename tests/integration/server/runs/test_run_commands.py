"""Cancelling, trying again and deleting runs, through the port."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID, uuid4

import grpc
import pytest
from hooks import fail
from serving import NOWHERE, Server, Worker, eventually, refused, submit

from facnet_grpc.errors import FacnetError, NotFound, Reason, TerminalError, TransientError
from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.jobs.contract import QUEUE
from facnet_grpc.jobs.queue import NAMESPACE
from facnet_grpc.model.run import Run, RunStatus
from facnet_grpc.storage.postgres import leases, run_log, runs

OVER = ("COMPLETED", "FAILED", "CANCELLED")
CALLS = ("Cancel", "Retry", "Delete")


def call(server: Server, verb: str, run_id: object):
    request = getattr(pb, f"{verb}ValidationRequest")(validation_id=str(run_id))
    return getattr(server.stub, f"{verb}Validation")(request, timeout=10)


def status(answer) -> str:
    return validation_pb2.ValidationStatus.Name(answer.validation.status).removeprefix("VALIDATION_STATUS_")


def stored(server: Server, run_id: UUID) -> Run:
    with server.database.connection() as conn:
        return runs.get(conn, run_id)


def end(server: Server, run_id: UUID, how: str) -> None:
    if how == "CANCELLED":
        call(server, "Cancel", run_id)
        return
    worker = Worker(server, run_id).start()
    if how == "COMPLETED":
        worker.complete()
    else:
        worker.fail(TerminalError(Reason.NO_USABLE_ROWS))


def blobs(server: Server) -> set[str]:
    return {blob.key for blob in server.blobs.blobs()}


def terminal_events(server: Server, run_id: UUID) -> list[RunStatus]:
    events = server.resources.events.tail({run_id: ""}, block_seconds=0.01)
    return [event.status for event in events if event.status.is_terminal]


def test_a_waiting_run_is_cancelled_at_once_and_its_watcher_told(server):
    run_id = submit(server)
    watch = server.stub.WatchValidation(pb.WatchValidationRequest(validation_id=str(run_id)), timeout=10)
    next(watch)
    assert status(call(server, "Cancel", run_id)) == "CANCELLED"
    assert [message.status for message in watch][-1] == validation_pb2.VALIDATION_STATUS_CANCELLED
    assert blobs(server) == set()
    assert stored(server, run_id).blob_key is None
    assert status(call(server, "Cancel", run_id)) == "CANCELLED"
    assert terminal_events(server, run_id) == [RunStatus.CANCELLED]
    with server.database.connection() as conn:
        assert [entry.event for entry in run_log.page(conn, run_id, limit=9)] == ["cancelled"]


def test_a_running_one_goes_on_until_its_worker_hears(server):
    run_id = submit(server)
    worker = Worker(server, run_id).start()
    assert status(call(server, "Cancel", run_id)) == "PROCESSING"
    asked = stored(server, run_id).cancel_requested_at
    assert status(call(server, "Cancel", run_id)) == "PROCESSING"
    assert stored(server, run_id).cancel_requested_at == asked
    assert len(blobs(server)) == 1
    with suppress(FacnetError):
        worker.complete()
    assert stored(server, run_id).status is RunStatus.PROCESSING
    with server.database.connection() as conn:
        leases.cancel(conn, worker.claim)
    assert status(call(server, "Cancel", run_id)) == "CANCELLED"


@pytest.mark.parametrize("how", OVER)
def test_cancelling_a_run_that_is_over_changes_nothing(server, how):
    run_id = submit(server)
    end(server, run_id, how)
    before = stored(server, run_id)
    assert status(call(server, "Cancel", run_id)) == how
    assert stored(server, run_id) == before


def test_a_cancel_without_redis_is_as_good(make_server):
    server = make_server(redis=NOWHERE)
    run_id = submit(server)
    assert status(call(server, "Cancel", run_id)) == "CANCELLED"
    assert blobs(server) == set()


def test_a_failed_run_is_tried_again_with_all_its_attempts(server, redis_client):
    run_id = submit(server)
    eventually(lambda: redis_client.llen(f"{NAMESPACE}:{QUEUE}") == 1)
    end(server, run_id, "FAILED")
    answer = call(server, "Retry", run_id)
    assert (status(answer), answer.validation.HasField("error")) == ("QUEUED", False)
    eventually(lambda: redis_client.llen(f"{NAMESPACE}:{QUEUE}") == 2)
    for _ in range(3):
        Worker(server, run_id).start().release()
    with server.database.connection() as conn:
        assert leases.claim(conn, run_id, lease_seconds=9, max_attempts=3) is None


def test_a_run_that_was_tried_again_is_watched_from_there(server):
    run_id = submit(server)
    end(server, run_id, "FAILED")
    request = pb.WatchValidationRequest(validation_id=str(run_id))
    (failed,) = server.stub.WatchValidation(request, timeout=10)
    assert failed.error.code == "NO_USABLE_ROWS"
    call(server, "Retry", run_id)
    request.after_cursor = failed.cursor
    watch = server.stub.WatchValidation(request, timeout=10)
    assert next(watch).status == validation_pb2.VALIDATION_STATUS_QUEUED
    Worker(server, run_id).start().complete()
    assert [message.status for message in watch][-1] == validation_pb2.VALIDATION_STATUS_COMPLETED


@pytest.mark.parametrize("how", ["COMPLETED", "CANCELLED", "QUEUED"])
def test_only_a_failed_run_can_be_tried_again(server, how):
    run_id = submit(server)
    if how != "QUEUED":
        end(server, run_id, how)
    refusal = refused(lambda: call(server, "Retry", run_id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
    assert refusal.params["status"] == how


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_is_gone_cannot_be_tried_again(server, known):
    run_id = submit(server)
    end(server, run_id, "FAILED")
    key = stored(server, run_id).blob_key
    server.blobs.delete(key)
    if known:
        with server.database.connection() as conn:
            runs.clear_blob(conn, run_id)
    refusal = refused(lambda: call(server, "Retry", run_id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BLOB_MISSING")
    assert stored(server, run_id).status is RunStatus.FAILED


@pytest.mark.parametrize("how", OVER)
def test_a_deleted_run_is_gone_with_everything(server, redis_client, how):
    run_id = submit(server, idempotency_key="again")
    end(server, run_id, how)
    call(server, "Delete", run_id)
    assert blobs(server) == set() or how == "COMPLETED"
    assert not redis_client.exists(f"facnet:events:{run_id}")
    with server.database.connection() as conn, pytest.raises(NotFound):
        runs.get(conn, run_id)
    with server.database.connection() as conn:
        assert conn.execute("SELECT action, run_id FROM audit_log").fetchall() == [("validation_deleted", run_id)]
    assert refused(lambda: call(server, "Delete", run_id)).reason == "VALIDATION_NOT_FOUND"
    assert submit(server, idempotency_key="again") != run_id


def test_a_run_that_is_not_over_is_not_deleted(server):
    run_id = submit(server)
    for expected in ("QUEUED", "PROCESSING"):
        refusal = refused(lambda: call(server, "Delete", run_id))
        assert (refusal.reason, refusal.params["status"]) == ("WRONG_STATE", expected)
        if expected == "QUEUED":
            Worker(server, run_id).start()


def test_what_cannot_be_removed_at_once_is_no_trouble_of_the_caller(server):
    run_id, other = submit(server), submit(server, b"other\n1\n")
    end(server, run_id, "FAILED")
    server.blobs.before_delete = fail(TransientError())
    call(server, "Delete", run_id)
    assert status(call(server, "Cancel", other)) == "CANCELLED"
    assert stored(server, other).blob_key is not None  # found by retention


@pytest.mark.parametrize("verb", CALLS)
def test_runs_of_others_and_of_nobody_are_not_found(server, verb):
    run_id = submit(server)
    with server.database.connection() as conn:
        conn.execute("UPDATE validation_runs SET owner = 'other'")
    for asked in (run_id, uuid4()):
        refusal = refused(lambda asked=asked: call(server, verb, asked))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "VALIDATION_NOT_FOUND")
    assert (
        refused(lambda: call(server, verb, "nonsense")).details["BadRequest"].field_violations[0].field
        == "validation_id"
    )
