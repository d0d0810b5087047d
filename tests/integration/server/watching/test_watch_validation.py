"""What watchers see: at once, in order, to the end, whatever Redis, the network and the server do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
import redis
from serving import NOWHERE, Server, Worker, eventually, refused, submit

from facnet_grpc.errors import Reason, TerminalError
from facnet_grpc.gen.facnet.v1 import result_pb2
from facnet_grpc.gen.facnet.v1 import validation_pb2 as enums
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub
from facnet_grpc.server.main import Tuning
from facnet_grpc.storage.postgres import runs

pytestmark = pytest.mark.system

QUEUED, PROCESSING = enums.VALIDATION_STATUS_QUEUED, enums.VALIDATION_STATUS_PROCESSING
COMPLETED, FAILED = enums.VALIDATION_STATUS_COMPLETED, enums.VALIDATION_STATUS_FAILED


def watch(server: Server, run_id: object, after: str = "", language: str = "en") -> Any:
    request = pb.WatchValidationRequest(validation_id=str(run_id), after_cursor=after)
    return server.stub.WatchValidation(request, timeout=20, metadata=(("accept-language", language),))


def states(messages: list[pb.WatchValidationResponse]) -> list[tuple[int, int, float]]:
    return [(message.progress.attempt, message.status, message.progress.percent) for message in messages]


def test_a_run_is_followed_from_waiting_to_its_end(server: Server) -> None:
    run_id = submit(server)
    seen: list[pb.WatchValidationResponse] = []
    stream = watch(server, run_id)
    seen.append(next(stream))
    assert (seen[0].status, seen[0].queue_position, seen[0].progress.percent) == (QUEUED, 0, 0)
    assert seen[0].HasField("queue_position")
    worker = Worker(server, run_id).start()
    for percent in (10.0, 50.0, 90.0):
        worker.say(percent, bytes_parsed=int(percent), total_bytes=100, rows_parsed=7, rows_loaded=6, rows_rejected=1)
        seen.append(next(stream))
    worker.complete()
    seen.extend(stream)
    assert states(seen)[1:] == [(1, PROCESSING, 10), (1, PROCESSING, 50), (1, PROCESSING, 90), (1, COMPLETED, 100)]
    assert (seen[1].progress.bytes_parsed, seen[1].progress.total_bytes, seen[1].progress.phase) == (
        10,
        100,
        enums.VALIDATION_PHASE_LOADING,
    )
    assert (seen[1].progress.rows_parsed, seen[1].progress.rows_loaded, seen[1].progress.rows_rejected) == (7, 6, 1)
    assert not seen[1].HasField("queue_position")
    assert (seen[-1].progress.rows_loaded, seen[-1].progress.result_counts.error) == (10, 1)
    assert stream.code() is grpc.StatusCode.OK


def test_the_end_is_told_again_however_often_and_late(server: Server) -> None:
    run_id = submit(server)
    Worker(server, run_id).start().complete(tell=False)
    for _ in range(2):
        assert states(list(watch(server, run_id))) == [(1, COMPLETED, 100)]


def test_a_failure_is_explained_in_the_callers_language(server: Server) -> None:
    run_id = submit(server)
    worker = Worker(server, run_id).start()
    english, french = watch(server, run_id), watch(server, run_id, language="fr")
    next(english)
    next(french)
    worker.fail(TerminalError(Reason.NOT_A_CSV, found="PDF"))
    last = [list(stream)[-1] for stream in (english, french)]
    assert [message.status for message in last] == [FAILED, FAILED]
    assert {message.error.code for message in last} == {"NOT_A_CSV"}
    assert "PDF" in last[0].error.message
    assert last[0].error.message != last[1].error.message
    assert last[0].error.cure


def test_a_watch_never_goes_back(server: Server) -> None:
    """Late events, PostgreSQL behind Redis, a second attempt: what a watcher sees only grows, by attempt."""
    run_id = submit(server)
    worker = Worker(server, run_id).start()
    stream = watch(server, run_id)
    seen = [next(stream)]
    for percent in (40.0, 20.0, 30.0, 60.0):
        worker.say(percent)
        if percent in {40.0, 60.0}:
            seen.append(next(stream))
    worker.store(50.0)
    worker.release()
    seen.append(next(stream))
    assert (seen[-1].progress.attempt, seen[-1].status, seen[-1].progress.percent) == (1, QUEUED, 60)
    worker.start()
    worker.say(5.0)
    seen.append(next(stream))
    worker.complete()
    seen.extend(stream)
    order = [(message.progress.attempt, message.progress.percent) for message in seen]
    assert order == sorted(order)
    assert states(seen)[-2:] == [(2, PROCESSING, 5), (2, COMPLETED, 100)]


def test_a_reconnect_goes_on_at_its_cursor(server: Server, redis_client: redis.Redis) -> None:
    run_id = submit(server)
    worker = Worker(server, run_id).start()
    worker.say(70.0)
    stream = watch(server, run_id)
    first = next(stream)
    assert first.progress.percent == 70, "the first message is never older than the last event"
    stream.cancel()
    redis_client.flushdb()
    again = watch(server, run_id, first.cursor)
    assert states([next(again)]) == [(1, PROCESSING, 70)], "although PostgreSQL knows of 0 only"
    again.cancel()
    worker.complete()
    assert states(list(watch(server, run_id, first.cursor))) == [(1, COMPLETED, 100)]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "é", "x" * 1000])
def test_a_cursor_that_nobody_made_is_refused(server: Server, cursor: str) -> None:
    refusal = refused(lambda: list(watch(server, submit(server), cursor)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_CURSOR")


def test_the_cursor_of_another_run_is_refused(server: Server) -> None:
    other = next(watch(server, submit(server))).cursor
    refusal = refused(lambda: list(watch(server, submit(server), other)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_CURSOR")


@pytest.mark.parametrize(
    ("run_id", "code"),
    [
        ("", grpc.StatusCode.INVALID_ARGUMENT),
        ("x", grpc.StatusCode.INVALID_ARGUMENT),
        (uuid4(), grpc.StatusCode.NOT_FOUND),
    ],
)
def test_a_run_that_is_not_there_is_not_watched(server: Server, run_id: object, code: grpc.StatusCode) -> None:
    assert refused(lambda: list(watch(server, run_id))).code is code


def test_somebody_elses_run_does_not_exist(server: Server) -> None:
    run_id = submit(server)
    next(watch(server, run_id))
    with server.database.connection() as conn:
        conn.execute("UPDATE validation_runs SET owner = 'somebody'")
    refusal = refused(lambda: list(watch(server, run_id)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "VALIDATION_NOT_FOUND")


def test_a_heartbeat_comes_when_nothing_changes(make_server: Callable[..., Server]) -> None:
    server = make_server(heartbeat_seconds=0.1)
    stream = watch(server, submit(server))
    assert len({next(stream).cursor for _ in range(4)}) == 1


def test_without_redis_a_watch_goes_on_from_postgresql(make_server: Callable[..., Server]) -> None:
    server = make_server(redis=NOWHERE, tuning=Tuning(watch_quiet_seconds=0.2))
    run_id = submit(server)
    stream = watch(server, run_id)
    assert next(stream).status == QUEUED
    worker = Worker(server, run_id).start()
    worker.store(33.0)
    assert states([next(stream)]) == [(1, PROCESSING, 33)]
    worker.complete(tell=False)
    assert states(list(stream)) == [(1, COMPLETED, 100)]


def test_an_end_whose_event_was_lost_is_told(make_server: Callable[..., Server], redis_client: redis.Redis) -> None:
    server = make_server(tuning=Tuning(watch_quiet_seconds=0.2))
    run_id = submit(server)
    worker = Worker(server, run_id).start()
    stream = watch(server, run_id)
    next(stream)
    worker.complete(tell=False)
    redis_client.flushdb()
    assert list(stream)[-1].status == COMPLETED


def test_a_run_that_is_deleted_ends_its_watch(make_server: Callable[..., Server]) -> None:
    server = make_server(tuning=Tuning(watch_quiet_seconds=0.2))
    run_id = submit(server)
    stream = watch(server, run_id)
    next(stream)
    with server.database.connection() as conn:
        conn.execute("DELETE FROM validation_runs")
    assert refused(lambda: list(stream)).code is grpc.StatusCode.NOT_FOUND


def test_the_place_in_the_queue_is_told_as_it_changes(make_server: Callable[..., Server]) -> None:
    server = make_server(tuning=Tuning(watch_quiet_seconds=0.2))
    first, second = submit(server), submit(server)
    stream = watch(server, second)
    assert next(stream).queue_position == 1
    with server.database.connection() as conn:
        runs.request_cancel(conn, first, "local")
    assert next(stream).queue_position == 0


def test_a_slow_watcher_gets_the_latest_state_and_no_backlog(server: Server) -> None:
    """The hub holds one state a run; whoever comes back late finds it, and not what was between."""
    run_id = submit(server)
    worker = Worker(server, run_id).start()

    async def slowly() -> list[float]:
        seen = []
        async for view in server.running.hub.watch(run_id, "local"):
            seen.append(view.progress.percent)
            if len(seen) == 2:
                ready.set()
                await asyncio.to_thread(go_on.wait, 30)
        return seen

    ready, go_on = threading.Event(), threading.Event()
    future = asyncio.run_coroutine_threadsafe(slowly(), server.loop)
    eventually(lambda: server.running.hub.is_following(run_id))
    worker.say(1.0)
    assert ready.wait(20)
    for percent in range(2, 100):
        worker.say(float(percent))
    eventually(lambda: next(watch(server, run_id)).progress.percent == 99)
    go_on.set()
    worker.complete()
    seen = future.result(30)
    assert seen[:2] == [0, 1]
    assert seen[2:] in ([99, 100], [100])


def test_a_hundred_watchers_cost_one_reader_and_leave_nothing(server: Server) -> None:
    run_ids = [submit(server) for _ in range(5)]

    async def follow(stub: ValidationServiceStub, run_id: UUID, first: asyncio.Event) -> list[float]:
        seen = []
        async for message in stub.WatchValidation(pb.WatchValidationRequest(validation_id=str(run_id)), timeout=20):
            seen.append(message.progress.percent)
            first.set()
        return seen

    async def follow_all() -> list[list[float]]:
        async with grpc.aio.insecure_channel(server.target) as channel:
            stub = ValidationServiceStub(channel)
            firsts = [asyncio.Event() for _ in range(100)]
            tasks = [asyncio.create_task(follow(stub, run_ids[i % 5], first)) for i, first in enumerate(firsts)]
            await asyncio.gather(*(first.wait() for first in firsts))
            assert [thread.name for thread in threading.enumerate()].count("follower") == 1
            await asyncio.to_thread(work)
            return await asyncio.gather(*tasks)

    def work() -> None:
        for worker in [Worker(server, run_id).start() for run_id in run_ids]:
            worker.say(10.0)
            worker.say(50.0)
            worker.complete()

    for seen in asyncio.run(follow_all()):
        assert seen == sorted(seen)
        assert seen[-1] == 100
    eventually(lambda: not any(map(server.running.hub.is_following, run_ids)))


def test_watchers_who_leave_are_forgotten(server: Server) -> None:
    run_id = submit(server)
    streams = [watch(server, run_id) for _ in range(3)]
    for stream in streams:
        next(stream)
    for stream in streams:
        stream.cancel()
    eventually(lambda: not server.running.hub.is_following(run_id))


def test_shutting_down_ends_watches_so_that_clients_come_back(server: Server) -> None:
    run_id = submit(server)
    stream = watch(server, run_id)
    next(stream)
    server.loop.call_soon_threadsafe(server.running.hub.end_watches)
    refusal = refused(lambda: list(stream))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert "RetryInfo" in refusal.details
    assert refused(lambda: list(watch(server, run_id))).reason == "SHUTTING_DOWN"


def test_the_first_results_are_shown_while_work_goes_on(server: Server) -> None:
    run_id = submit(server)
    worker = Worker(server, run_id).start()
    found = result_pb2.ValidationResult(
        result_number=1, rule_id="office_fee", scenario="upgrade_registered", record_number=7
    )
    texts = {}
    for percent, language in ((80, "fr"), (85, "en")):
        watch = server.stub.WatchValidation(
            pb.WatchValidationRequest(validation_id=str(run_id)), metadata=(("accept-language", language),), timeout=20
        )
        next(watch)
        worker.say(percent, preview=(found,))
        shown = next(message.progress.preview[0] for message in watch if message.progress.preview)
        texts[language] = shown.message
        assert (shown.result_number, shown.record_number) == (1, 7)
        assert not shown.HasField("at_risk")  # an amount is a cell, and events have none
        assert (shown.doctor, shown.doctor_key, shown.patient_key, shown.service_date) == ("", "", "", "")
        watch.cancel()
    assert len(set(texts.values())) == 2
    assert all(texts.values())
    worker.complete()
    (last,) = server.stub.WatchValidation(pb.WatchValidationRequest(validation_id=str(run_id)), timeout=20)
    assert not last.progress.preview
