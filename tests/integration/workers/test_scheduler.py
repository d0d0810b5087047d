"""What is done from time to time is done once, however many workers there are, and caught up once after a while."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from facnet_grpc.errors import TransientError
from facnet_grpc.settings.schedule import EPOCH, Schedule
from facnet_grpc.storage.postgres import locks, operations, periodic
from facnet_grpc.storage.postgres.periodic import JobOutcome
from workers.heartbeat import WorkerHeartbeat
from workers.scheduler import PeriodicJob, Scheduler

YEARLY = Schedule.parse("0 0 1 1 *")  # no moment comes while a test runs
PATIENCE = 10.0


@pytest.fixture
def did():
    """What was done, in order."""
    return []


@pytest.fixture
def job(did):
    def make(schedule=YEARLY, *steps):
        return PeriodicJob("test", schedule, locks.RETENTION, steps or (lambda: did.append(datetime.now(UTC)),))

    return make


@contextmanager
def working(database, *jobs, local=(), workers=1):
    """Several workers with the same periodic jobs."""
    with ExitStack() as stack:
        for _ in range(workers):
            scheduler = Scheduler(database, jobs, local)
            scheduler.open()
            stack.callback(scheduler.close)
        yield


def last(database):
    with database.connection() as conn:
        return periodic.last_execution(conn, "test")


def was_done(database, ago):
    with database.connection() as conn:
        periodic.start(conn, "test", datetime.now(UTC) - ago)


def wait(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_schedulers_do_it_once_at_each_moment(database, job):
    period, moments = 0.2, []
    step = lambda: moments.append((last(database).taken_at - EPOCH) // timedelta(seconds=period))  # noqa: E731
    with working(database, job(Schedule.every(period), step), workers=2):
        wait(lambda: len(moments) >= 5)
    assert len(moments) == len(set(moments))


def test_of_many_who_ask_at_once_one_does_it(database, job, did):
    ready = threading.Barrier(4)

    def ask(_):
        ready.wait(PATIENCE)
        return Scheduler(database, ()).run_if_due(job())

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(ask, range(4))) == [False, False, False, True]
    assert len(did) == 1


def test_missed_moments_are_caught_up_once(database, job, did):
    was_done(database, timedelta(days=5 * 365))
    with working(database, job(), workers=2):
        wait(lambda: did)
    assert (len(did), last(database).outcome) == (1, JobOutcome.DONE)
    with working(database, job()):  # after a restart
        pass
    assert not Scheduler(database, ()).run_if_due(job())
    assert len(did) == 1


def test_nobody_else_begins_while_one_is_at_it(database, job):
    begun, go_on = threading.Event(), threading.Event()
    long = job(Schedule.every(0.001), begun.set, lambda: go_on.wait(PATIENCE))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(Scheduler(database, ()).run_if_due, long)
        assert begun.wait(PATIENCE)
        assert not Scheduler(database, ()).run_if_due(long)
        go_on.set()
        assert first.result(PATIENCE)
    assert Scheduler(database, ()).run_if_due(long)


def test_what_was_broken_off_is_done_at_the_next_moment(database, job, did):
    was_done(database, timedelta(0))  # by a worker that is dead
    assert not Scheduler(database, ()).run_if_due(job())
    was_done(database, timedelta(days=366))
    assert last(database).outcome is None
    assert Scheduler(database, ()).run_if_due(job())
    assert (len(did), last(database).outcome) == (1, JobOutcome.DONE)


def test_a_clock_that_was_wrong_stops_nothing(database, job, did):
    was_done(database, timedelta(days=-2 * 366))
    assert Scheduler(database, ()).run_if_due(job())
    assert did


def failures():
    """The failures that were counted, under the present and the former name."""
    labels = {"outcome": "failed"}
    return [
        REGISTRY.get_sample_value("facnet_periodic_jobs_total", {"periodic_job": "test", **labels}) or 0,
        REGISTRY.get_sample_value("facnet_chores_total", {"chore": "test", **labels}) or 0,
    ]


def failing():
    return [
        REGISTRY.get_sample_value("facnet_periodic_job_failing", {"periodic_job": "test"}),
        REGISTRY.get_sample_value("facnet_chore_failing", {"chore": "test"}),
    ]


def test_a_step_that_fails_keeps_no_other_from_its_turn_and_is_told(database, job, did):
    scheduler, before = Scheduler(database, [job()]), failures()
    always = Schedule.every(0.001)
    assert scheduler.run_if_due(job(always, lambda: 1 / 0, lambda: did.append(1)))
    scheduler.update_metrics()
    assert (did, last(database).outcome) == ([1], "failed")
    assert [after - count for after, count in zip(failures(), before, strict=True)] == [1, 1]
    assert failing() == [1, 1]
    assert scheduler.run_if_due(job(always))
    scheduler.update_metrics()
    assert (last(database).outcome, failing()) == (JobOutcome.DONE, [0, 0])


def test_while_postgresql_is_away_it_is_tried_again_soon(database, job, did):
    refusals = [TransientError()] * 4

    class Away:
        def connection(self, **options):
            if refusals:
                raise refusals.pop()
            return database.connection(**options)

    scheduler = Scheduler(Away(), [job()], retry_seconds=0.05)
    scheduler.open()
    try:
        wait(lambda: did)
    finally:
        scheduler.close()
    assert refusals == []


def test_a_worker_that_stops_begins_no_further_step(database, did):
    begun, stopping = threading.Event(), threading.Event()
    steps = (begun.set, lambda: stopping.wait(PATIENCE), lambda: did.append(1))
    scheduler = Scheduler(database, [PeriodicJob("test", YEARLY, locks.RETENTION, steps)])
    scheduler.open()
    assert begun.wait(PATIENCE)
    with ThreadPoolExecutor(1) as pool:
        closed = pool.submit(scheduler.close)
        wait(lambda: scheduler.is_stopping)
        stopping.set()
        closed.result(PATIENCE)
    assert (did, last(database).finished_at) == ([], None)


def test_a_worker_knows_what_it_is_at(bench, held, sample):
    run_id = bench.submit(sample)
    with held(run_id) as attempt:
        assert bench.resources.active_runs.run_ids() == (run_id,)
        attempt.finish()
    assert bench.resources.active_runs.run_ids() == ()


def seen(database):
    with database.connection() as conn:
        return {one.id: one for one in operations.state(conn, None, recent_seconds=60, limit=9).workers}


def test_workers_say_that_they_are_there_and_when_they_go(database):
    one, other = (WorkerHeartbeat(database, threads=2, run_ids=list) for _ in range(2))
    with working(database, local=((one.beat, 0.05), (other.beat, 0.05))):
        wait(lambda: seen(database).keys() == {one.id, other.id})
        first = seen(database)[one.id]
        wait(lambda: seen(database)[one.id].seen_at > first.seen_at)
    assert first.threads == 2
    assert first.release
    one.close()
    assert seen(database).keys() == {other.id}
    other.beat()
    assert seen(database).keys() == {other.id}
    WorkerHeartbeat(database, threads=2, run_ids=list, ttl_seconds=-1.0).beat()
    assert seen(database).keys() == {other.id}
    other.close()
    assert not seen(database)
    one.remove_expired()
    with database.connection() as conn:
        assert conn.execute("SELECT count(*) FROM workers").fetchone() == (0,)
