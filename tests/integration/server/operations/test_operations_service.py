"""What operators ask for, through the port: the queue, failed jobs, trying them again, removing what is old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from serving import Server, Worker, eventually, messages, refused, submit

from facnet_grpc.errors import Reason, TerminalError
from facnet_grpc.gen.facnet.v1 import operations_service_pb2 as pb
from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1.operations_service_pb2_grpc import OperationsServiceStub
from facnet_grpc.jobs.contract import QUEUE
from facnet_grpc.jobs.queue import NAMESPACE
from facnet_grpc.server.main import Tuning
from facnet_grpc.storage.postgres import revalidations, workers

TOKENS = "v=clinic/viewer, e=clinic/editor, c=clinic/editor, o=other/editor, a=operations/admin"
NOTHING = (0, 0, 0, 0)
DAY = 86_400


@pytest.fixture
def guarded(make_server) -> Server:
    """A server that tells callers apart."""
    return make_server(dev_tokens=TOKENS)


def bearing(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def ask(server: Server, name: str, token: str = "a", **fields: Any) -> Any:
    request = getattr(pb, f"{name}Request")(**fields)
    return getattr(OperationsServiceStub(server.channel), name)(request, timeout=10, metadata=bearing(token))


def add(server: Server, owner: str = "clinic", **header: Any) -> UUID:
    """Submit a file, and let it be of `owner`."""
    run_id = submit_as(server, **header)
    execute(server, "UPDATE validation_runs SET owner = %s WHERE id = %s", owner, run_id)
    return run_id


def submit_as(server: Server, **header: Any) -> UUID:
    data = f"some,claims\n{uuid4()},2\n".encode()
    answer = server.stub.SubmitValidation(messages(data, **header), metadata=bearing("c"), timeout=10)
    return UUID(answer.validation_id)


def execute(server: Server, statement: str, *params: Any) -> None:
    with server.database.connection() as conn:
        conn.execute(statement, params)


def fail(server: Server, run_id: UUID, reason: Reason = Reason.NO_USABLE_ROWS) -> None:
    Worker(server, run_id).start().fail(TerminalError(reason))


def figures(counts: pb.JobCounts) -> tuple[int, int, int, int]:
    return counts.waiting, counts.delayed, counts.active, counts.failed


def moment(value: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp


def test_health_and_reflection_know_of_it(server):
    name = "facnet.v1.OperationsService"
    answer = health_pb2_grpc.HealthStub(server.channel).Check(health_pb2.HealthCheckRequest(service=name))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    assert next(stub.ServerReflectionInfo(iter([asked]))).HasField("file_descriptor_response")


CALLS = {
    "GetQueueStats": {},
    "ListFailedJobs": {},
    "ReplayFailedJob": {"validation_id": str(uuid4())},
    "PurgeValidations": {"dry_run": True},
}


@pytest.mark.parametrize("call", CALLS)
def test_only_admins_may(guarded, call):
    for token in "ve":
        refusal = refused(lambda token=token: ask(guarded, call, token, **CALLS[call]))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    if call == "ReplayFailedJob":
        assert refused(lambda: ask(guarded, call, **CALLS[call])).code is grpc.StatusCode.NOT_FOUND
    else:
        ask(guarded, call, **CALLS[call])


def test_an_empty_service_has_all_the_figures(guarded):
    stats = ask(guarded, "GetQueueStats")
    assert [pb.JobKind.Name(one.kind) for one in stats.queues] == ["JOB_KIND_VALIDATION", "JOB_KIND_REVALIDATION"]
    assert [validation_pb2.Priority.Name(one.priority) for one in stats.priorities] == [
        "PRIORITY_HIGH",
        "PRIORITY_NORMAL",
        "PRIORITY_LOW",
    ]
    assert [figures(one.counts) for one in (*stats.queues, *stats.priorities)] == [NOTHING] * 5
    assert not stats.queues[0].counts.HasField("oldest_wait")
    assert not stats.day.HasField("mean_wait")
    assert (len(stats.owners), len(stats.workers), len(stats.active_jobs)) == (0, 0, 0)
    assert stats.recent_period.seconds == 15 * 60


def test_jobs_are_counted_by_kind_priority_and_owner(guarded):
    waiting, delayed, active, failed, done = (add(guarded) for _ in range(5))
    urgent = add(guarded, "other", priority=validation_pb2.PRIORITY_HIGH)
    old = "UPDATE validation_runs SET created_at = now() - interval '1 hour' WHERE id = %s"
    execute(guarded, old, waiting)
    execute(guarded, "UPDATE validation_runs SET next_attempt_at = now() + interval '1 hour' WHERE id = %s", delayed)
    Worker(guarded, active).start().store(40, rows_parsed=7)
    fail(guarded, failed)
    Worker(guarded, done).start().complete()
    with guarded.database.connection() as conn:
        revalidations.insert(conn, uuid4(), done)
        begun = uuid4()
        revalidations.insert(conn, begun, done)
        revalidations.start_attempt(conn, begun, max_attempts=2)
    stats = ask(guarded, "GetQueueStats", recent_minutes=1)
    assert [figures(one.counts) for one in stats.queues] == [(2, 1, 1, 1), (1, 0, 1, 0)]
    assert [figures(one.counts) for one in stats.priorities] == [(1, 0, 0, 0), (1, 1, 1, 1), NOTHING]
    assert [(one.owner, *figures(one.counts)) for one in stats.owners] == [
        ("clinic", 2, 1, 2, 1),
        ("other", 1, 0, 0, 0),
    ]
    assert 3600 <= stats.queues[0].counts.oldest_wait.seconds < 3700
    assert (stats.day.completed, stats.day.failed, stats.day.rows) == (1, 1, 10)
    assert stats.recent == stats.day
    assert stats.day.HasField("mean_wait")
    (job,) = stats.active_jobs
    assert (job.validation_id, job.owner, job.percent, job.rows_parsed) == (str(active), "clinic", 40, 7)
    assert job.worker_id == ""
    assert str(urgent) not in str(stats.active_jobs)


def test_workers_that_are_alive_say_what_they_are_at(guarded):
    run_id, worker_id, silent = add(guarded), uuid4(), uuid4()
    Worker(guarded, run_id).start()
    with guarded.database.connection() as conn:
        workers.heartbeat(conn, worker_id, release="1.2.3", threads=2, run_ids=[run_id, uuid4()], ttl_seconds=60)
        workers.heartbeat(conn, silent, release="1.2.3", threads=2, run_ids=[], ttl_seconds=-1)
    stats = ask(guarded, "GetQueueStats")
    (worker,) = stats.workers
    assert (worker.worker_id, worker.release, worker.threads) == (str(worker_id), "1.2.3", 2)
    assert list(worker.validation_ids) == [str(run_id)]
    assert [job.worker_id for job in stats.active_jobs] == [str(worker_id)]


@pytest.mark.parametrize("minutes", [-1, 1441])
def test_what_is_recent_has_limits(guarded, minutes):
    refusal = refused(lambda: ask(guarded, "GetQueueStats", recent_minutes=minutes))
    assert refusal.details["BadRequest"].field_violations[0].field == "recent_minutes"


def test_failed_jobs_are_listed_latest_first_page_by_page(guarded):
    ids = [add(guarded, "clinic" if number % 2 else "other") for number in range(5)]
    for age, run_id in enumerate(ids):
        fail(guarded, run_id, Reason.NOT_A_CSV if age == 3 else Reason.NO_USABLE_ROWS)
        finished = "UPDATE validation_runs SET finished_at = now() - make_interval(hours => %s) WHERE id = %s"
        execute(guarded, finished, age, run_id)

    def listed(**fields: Any) -> list[UUID]:
        found, token = [], ""
        while True:
            page = ask(guarded, "ListFailedJobs", page_size=2, page_token=token, **fields)
            found += [UUID(job.validation_id) for job in page.jobs]
            token = page.next_page_token
            if not token:
                return found

    assert listed() == ids
    assert listed(owner="clinic") == [ids[1], ids[3]]
    assert listed(codes=["NOT_A_CSV", "X"]) == [ids[3]]
    border = moment(datetime.now(UTC) - timedelta(hours=1, minutes=30))
    assert listed(failed_from=border) == ids[:2]
    assert listed(failed_before=border) == ids[2:]
    token = ask(guarded, "ListFailedJobs", page_size=2).next_page_token
    for asked in ({"owner": "clinic"}, {"codes": ["X"]}):
        refusal = refused(lambda asked=asked: ask(guarded, "ListFailedJobs", page_token=token, **asked))
        assert refusal.reason == "BAD_PAGE_TOKEN"


def test_a_failed_job_says_why_and_whether_it_can_be_tried_again(guarded):
    kept, gone, judged = (add(guarded) for _ in range(3))
    for run_id in (kept, gone):
        fail(guarded, run_id)
    execute(guarded, "UPDATE validation_runs SET blob_key = NULL WHERE id = %s", gone)
    Worker(guarded, judged).start().complete()
    asked = uuid4()
    with guarded.database.connection() as conn:
        revalidations.insert(conn, asked, judged)
        revalidations.fail(conn, asked, "WORKER_CRASHED")
        revalidations.discard(conn, asked)  # as its caller does
    jobs = {UUID(job.validation_id): job for job in ask(guarded, "ListFailedJobs").jobs}
    assert {run_id: (job.kind, job.can_replay) for run_id, job in jobs.items()} == {
        kept: (pb.JOB_KIND_VALIDATION, True),
        gone: (pb.JOB_KIND_VALIDATION, False),
        judged: (pb.JOB_KIND_REVALIDATION, False),
    }
    job = jobs[kept]
    assert (job.owner, job.attempt, job.error.code) == ("clinic", 1, "NO_USABLE_ROWS")
    assert job.error.message
    assert job.expire_time.seconds - job.end_time.seconds == DAY
    assert not jobs[gone].HasField("expire_time")
    assert jobs[judged].error.code == "WORKER_CRASHED"


def test_a_failed_run_of_any_owner_is_tried_again_once(guarded, redis_client):
    run_id = add(guarded)
    eventually(lambda: redis_client.llen(f"{NAMESPACE}:{QUEUE}") == 1)
    fail(guarded, run_id)
    answers = [ask(guarded, "ReplayFailedJob", validation_id=str(run_id)) for _ in range(2)]
    assert [(one.validation.status, one.replayed) for one in answers] == [
        (validation_pb2.VALIDATION_STATUS_QUEUED, True),
        (validation_pb2.VALIDATION_STATUS_QUEUED, False),
    ]
    eventually(lambda: redis_client.llen(f"{NAMESPACE}:{QUEUE}") == 2)
    assert not ask(guarded, "ListFailedJobs").jobs
    worker = Worker(guarded, run_id).start()
    assert not ask(guarded, "ReplayFailedJob", validation_id=str(run_id)).replayed
    worker.complete()
    refusal = refused(lambda: ask(guarded, "ReplayFailedJob", validation_id=str(run_id)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
    assert refusal.params["status"] == "COMPLETED"


def test_a_run_whose_file_is_gone_is_not_tried_again(guarded):
    run_id = add(guarded)
    fail(guarded, run_id)
    execute(guarded, "UPDATE validation_runs SET blob_key = NULL WHERE id = %s", run_id)
    refusal = refused(lambda: ask(guarded, "ReplayFailedJob", validation_id=str(run_id)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BLOB_MISSING")
    assert len(refusal.texts) == 2, "what is wrong, and what to do"


def ended(server: Server, owner: str, days: float) -> UUID:
    run_id = add(server, owner)
    Worker(server, run_id).start().complete()
    finished = "UPDATE validation_runs SET finished_at = now() - make_interval(secs => %s) WHERE id = %s"
    execute(server, finished, days * DAY, run_id)
    return run_id


def left(server: Server) -> int:
    with server.database.connection() as conn:
        return conn.execute("SELECT count(*) FROM validation_runs").fetchone()[0]


def test_old_runs_are_counted_and_then_removed(guarded):
    for owner, days in (("clinic", 31), ("other", 31), ("clinic", 29)):
        ended(guarded, owner, days)
    waiting = add(guarded)
    counted = ask(guarded, "PurgeValidations", dry_run=True)
    assert (counted.purged, counted.more, counted.older_than_days) == (2, False, 30)
    assert ask(guarded, "PurgeValidations", dry_run=True, owner="other").purged == 1
    assert left(guarded) == 4
    assert ask(guarded, "PurgeValidations", owner="other").purged == 1
    assert ask(guarded, "PurgeValidations").purged == 1
    assert ask(guarded, "PurgeValidations", older_than_days=0).purged == 1
    assert left(guarded) == 1
    assert ask(guarded, "PurgeValidations", older_than_days=0).purged == 0
    with guarded.database.connection() as conn:
        assert conn.execute("SELECT count(*) FROM audit_log WHERE action = 'validation_purged'").fetchone() == (3,)
        assert conn.execute("SELECT count(*) FROM erasures").fetchone() == (0,)
    assert waiting


def test_a_purge_that_has_more_to_do_says_so(make_server):
    guarded = make_server(dev_tokens=TOKENS, tuning=Tuning(purge_seconds=0.0))
    ended(guarded, "clinic", 40)
    execute(
        guarded,
        "INSERT INTO validation_logs (run_id, level, source, event) SELECT id, 'info', 'x', 'x' FROM validation_runs",
    )
    assert [(one.purged, one.more) for one in (ask(guarded, "PurgeValidations") for _ in range(2))] == [
        (1, True),
        (0, False),
    ]


@pytest.mark.parametrize("days", [-1, 40_000])
def test_days_that_make_no_sense_are_refused(guarded, days):
    refusal = refused(lambda: ask(guarded, "PurgeValidations", older_than_days=days))
    assert refusal.details["BadRequest"].field_violations[0].field == "older_than_days"


def test_who_is_not_told_apart_sees_the_one_owner_only(server):
    run_id = submit(server)
    with server.database.connection() as conn:
        conn.execute(
            "INSERT INTO validation_runs (id, owner, file_name, size_bytes, sha256, status, error_code, finished_at) "
            "VALUES (gen_random_uuid(), 'secret', 'x', 1, 'x', 'FAILED', 'X', now() - interval '40 days')"
        )
    stub = OperationsServiceStub(server.channel)
    assert [one.owner for one in stub.GetQueueStats(pb.GetQueueStatsRequest()).owners] == ["local"]
    for owner in ("", "secret"):
        assert not stub.ListFailedJobs(pb.ListFailedJobsRequest(owner=owner)).jobs
        assert not stub.PurgeValidations(pb.PurgeValidationsRequest(owner=owner)).purged
    assert left(server) == 2
    fail(server, run_id)
    (job,) = stub.ListFailedJobs(pb.ListFailedJobsRequest()).jobs
    assert job.validation_id == str(run_id)
