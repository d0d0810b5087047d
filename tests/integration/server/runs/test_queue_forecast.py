"""What callers are told of a run that waits: its place in the queue, and when it will probably have ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import grpc
import pytest
from hooks import HookedDatabase, fail
from serving import Server, Worker, refused, submit

from facnet_grpc.errors import TransientError
from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.scheduling.order import SchedulingPolicy
from facnet_grpc.server.main import Tuning
from facnet_grpc.server.runs.estimate import CachePolicy, QueueForecast
from facnet_grpc.storage.postgres import queue, runs

BYTES = b"some,claims\n1,2\n"  # what `submit` sends


def execute(server: Server, statement: str, *params: object) -> None:
    with server.database.connection() as conn:
        conn.execute(statement, params)


def worker(server: Server, threads: int = 1) -> None:
    """Say that there is a worker."""
    execute(
        server,
        "INSERT INTO workers (id, release, threads, seen_at, expires_at)"
        " VALUES (%s, 'test', %s, now(), now() + interval '1 minute')",
        uuid4(),
        threads,
    )


def completed(server: Server, seconds: float, ago: str = "1 minute") -> None:
    """Say that a run of the same size was completed a while ago, after so many seconds."""
    run_id = submit(server)
    Worker(server, run_id).start().complete()
    execute(
        server,
        "UPDATE validation_runs SET finished_at = now() - %s::interval,"
        " started_at = now() - %s::interval - make_interval(secs => %s) WHERE id = %s",
        ago,
        ago,
        seconds,
        run_id,
    )


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A server that computes the forecast for each read."""
    return make_server(tuning=Tuning(forecast_cache=CachePolicy(seconds=0, costs=0)))


def get(server: Server, run_id: UUID) -> validation_pb2.Validation:
    return server.stub.GetValidation(pb.GetValidationRequest(validation_id=str(run_id))).validation


def estimate(run: validation_pb2.Validation | pb.WatchValidationResponse) -> tuple[int | None, int | None]:
    return (
        run.queue_position if run.HasField("queue_position") else None,
        run.eta.seconds if run.HasField("eta") else None,
    )


def test_place_and_end_are_told_by_get_list_and_watch(server: Server) -> None:
    completed(server, 60.0)
    worker(server)
    waiting = [submit(server) for _ in range(3)]
    for position, run_id in enumerate(waiting):
        place, eta = estimate(get(server, run_id))
        assert place == position
        assert 60 * (position + 1) - 10 <= eta <= 60 * (position + 1)
    listed = server.stub.ListValidations(pb.ListValidationsRequest()).validations
    assert [estimate(run)[0] for run in listed] == [2, 1, 0, None]
    assert all(estimate(run)[1] for run in listed[:3])
    update = next(server.stub.WatchValidation(pb.WatchValidationRequest(validation_id=str(waiting[2])), timeout=10))
    assert estimate(update) == (2, pytest.approx(180, abs=10))


def test_more_workers_are_sooner_done(server: Server) -> None:
    completed(server, 60.0)
    worker(server, threads=2)
    worker(server, threads=2)
    last = [submit(server) for _ in range(4)][-1]
    assert estimate(get(server, last)) == (3, pytest.approx(60, abs=10))


def test_what_is_not_known_is_not_told(server: Server) -> None:
    run_id = submit(server)
    worker(server)
    assert estimate(get(server, run_id)) == (0, None)  # nothing was completed lately
    completed(server, 60.0, ago="2 hours")
    assert estimate(get(server, run_id)) == (0, None)
    completed(server, 60.0)
    assert estimate(get(server, run_id))[1]
    execute(server, "UPDATE workers SET expires_at = now()")  # nobody works
    assert estimate(get(server, run_id)) == (0, None)


def test_a_run_that_waits_for_its_next_attempt_has_no_place(server: Server) -> None:
    run_id, other = submit(server), submit(server)
    execute(server, "UPDATE validation_runs SET next_attempt_at = now() + interval '1 hour' WHERE id = %s", run_id)
    assert estimate(get(server, run_id)) == (None, None)
    assert estimate(get(server, other)) == (0, None)


def test_a_run_in_progress_tells_its_end_by_its_own_progress(server: Server) -> None:
    run_id = submit(server)
    Worker(server, run_id).start().store(25.0)
    execute(server, "UPDATE validation_runs SET started_at = now() - interval '10 seconds' WHERE id = %s", run_id)
    assert estimate(get(server, run_id)) == (None, pytest.approx(30, abs=4))
    execute(server, "UPDATE validation_runs SET progress = 1 WHERE id = %s", run_id)
    assert estimate(get(server, run_id)) == (None, None)


def test_places_are_those_of_the_claims_that_follow(server: Server) -> None:
    """Also where another owner, priorities and large files mix."""
    mine = [submit(server, priority=priority) for priority in (2, 1, 3, 2)]
    execute(
        server,
        "INSERT INTO validation_runs (id, owner, file_name, size_bytes, sha256)"
        " SELECT gen_random_uuid(), 'other', 'f', 1, 's' FROM generate_series(1, 3)",
    )
    execute(server, "UPDATE validation_runs SET large = true WHERE id = %s", mine[0])
    places = {run_id: estimate(get(server, run_id))[0] for run_id in mine}
    served = []
    rules = SchedulingPolicy.of(server.resources.settings.queue)
    with server.database.connection() as conn:
        while claim := queue.claim_next(conn, rules, lease_seconds=60, max_attempts=3):
            served.append(claim.run.id)
    assert places == {run_id: served.index(run_id) for run_id in mine}
    assert places[mine[2]] == 0


def test_however_many_look_the_line_is_worked_out_once(make_server: Callable[..., Server]) -> None:
    server = make_server(tuning=Tuning(forecast_cache=CachePolicy(seconds=60)))
    waiting = [submit(server) for _ in range(20)]
    for position, run_id in enumerate(waiting):
        assert estimate(get(server, run_id))[0] == position
        with server.database.connection() as conn:  # unseen: nobody looks at the queue again
            runs.request_cancel(conn, run_id, "local")


def test_trouble_with_the_line_is_no_trouble_for_reads(server: Server) -> None:
    run_id = submit(server)
    with server.database.connection() as conn:
        run = runs.get(conn, run_id, "local")
    database = HookedDatabase(server.database)
    forecast = QueueForecast(database, server.resources.settings.queue, CachePolicy(seconds=0, costs=0))
    assert forecast.estimate(run).position == 0
    database.before_connection = fail(TransientError())
    assert forecast.estimate(run).position == 0


def test_an_owner_may_have_a_limit_of_its_own(make_server: Callable[..., Server]) -> None:
    server = make_server(max_unfinished_runs=1, owner_limits="other=/9,local=1/2")
    submit(server)
    submit(server, b"a,b\n")
    refusal = refused(lambda: submit(server, b"c,d\n"))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_RUNS")
    assert refusal.params["limit"] == "2"


def test_the_trace_of_the_caller_and_the_size_class_are_kept_with_the_run(make_server: Callable[..., Server]) -> None:
    server = make_server(large_file_bytes=len(BYTES))
    small, large = submit(server, BYTES[1:]), submit(server)
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    header = ("traceparent", f"00-{trace_id}-b7ad6b7169203331-01")
    chunk = pb.UploadChunkRequest(
        header=pb.UploadHeader(file_name="a.csv", upload_id=str(uuid4())), chunk=pb.UploadChunk(data=BYTES), finish=True
    )
    traced = UUID(server.stub.UploadChunk(chunk, metadata=(header,)).validation_id)
    with server.database.connection() as conn:
        found = {run.id: run for run in runs.get_many(conn, [small, large, traced])}
    assert [found[run_id].large for run_id in (small, large, traced)] == [False, True, True]
    assert found[small].traceparent is None
    assert trace_id in found[traced].traceparent


def test_a_run_is_told_again_in_time(server: Server) -> None:
    """The end that is expected moves with the clock, also for one who watches."""
    completed(server, 600.0)
    worker(server)
    run_id = submit(server)
    first = estimate(get(server, run_id))[1]
    execute(
        server, "UPDATE validation_runs SET finished_at = started_at + interval '300 seconds' WHERE id <> %s", run_id
    )
    assert estimate(get(server, run_id))[1] < first - timedelta(seconds=200).total_seconds()
