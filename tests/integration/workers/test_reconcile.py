"""What the reconciler sets right."""

from __future__ import annotations

import os
import time
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from facnet_grpc.errors import TerminalError, TransientError
from facnet_grpc.jobs.contract import QUEUE
from facnet_grpc.jobs.queue import NAMESPACE
from facnet_grpc.model.run import RunStatus
from facnet_grpc.settings.schedule import Schedule
from facnet_grpc.storage.postgres import leases, locks, runs, uploads
from workers.periodic.reconcile import Reconciler
from workers.periodic.retention import Retention
from workers.scheduler import PeriodicJob, Scheduler
from workers.validation import finalize

KEPT = 600.0
READY = f"{NAMESPACE}:{QUEUE}"


class Always:
    """A schedule by which something is due whenever somebody looks."""

    def after(self, moment):
        return moment


class Reconciling:
    """A reconciler whose periodic job, and that of retention, runs when a test says so."""

    def __init__(self, resources, count_messages, **changes):
        self.database = resources.database
        self.reconciler = Reconciler(
            resources.settings.replace(**changes).queue,
            resources.database,
            resources.queue,
            count_messages=count_messages,
            on_change=lambda run: finalize.publish_change(resources, run),
            message_seconds=0.0,
        )
        self.retention = Retention(resources.database, resources.blobs, failed_blob_seconds=KEPT, grace_seconds=0.0)

    def job(self, schedule, *more):
        steps = (*more, *self.reconciler.steps, *self.retention.steps)
        return PeriodicJob("reconcile", schedule, locks.RECONCILER, steps)

    def run(self, *more):
        return Scheduler(self.database, ()).run_if_due(self.job(Always(), *more))


@pytest.fixture
def reconciler(bench, redis_client):
    return Reconciling(bench.resources, lambda: redis_client.llen(READY))


def make_older(bench, name, directory="blobs"):
    path = bench.resources.settings.storage.blob_dir / directory / str(name)
    os.utime(path, (time.time() - 7200,) * 2)


def expire(bench, run_id):
    bench.execute("UPDATE validation_runs SET lease_expires_at = now() - interval '1 second' WHERE id = %s", run_id)


def gauges(resources, **changes):
    """What Prometheus is told, with settings of one's own: depth, held back, age in hours."""
    Reconciling(resources, lambda: 0, **changes).reconciler.update_metrics()
    depth, held, age = (REGISTRY.get_sample_value(f"facnet_queue_{name}") for name in ("depth", "held", "age_seconds"))
    return depth, held, age // 3600


def test_what_more_workers_would_not_help_is_no_part_of_the_queue_that_they_are_measured_by(bench):
    run_id, *_ = [bench.submit(b"content") for _ in range(3)]
    bench.execute("UPDATE validation_runs SET created_at = now() - interval '1 hour'")
    assert gauges(bench.resources, max_active_runs=1) == (3, 0, 1)
    claim(bench, run_id)
    assert gauges(bench.resources, max_active_runs=1) == (0, 2, 0)
    assert gauges(bench.resources) == (2, 0, 1), "without a limit they only wait for a worker"


def test_a_run_whose_message_was_lost_is_queued_again_and_only_once(bench, reconciler, redis_client):
    bench.submit(b"content")
    assert reconciler.run()
    assert redis_client.llen(READY) == 1
    assert reconciler.run()
    assert redis_client.llen(READY) == 1


def test_nothing_is_queued_while_messages_wait_for_their_turn(bench, reconciler, redis_client):
    for _ in range(3):
        bench.submit(b"content")
        redis_client.rpush(READY, "message")
    reconciler.run()
    assert redis_client.llen(READY) == 3


def test_a_run_that_is_not_due_yet_waits(bench, reconciler, redis_client):
    run_id = bench.submit(b"content")
    bench.execute("UPDATE validation_runs SET next_attempt_at = now() + interval '1 hour' WHERE id = %s", run_id)
    reconciler.run()
    assert redis_client.llen(READY) == 0


def claim(bench, run_id):
    with bench.resources.database.connection() as conn:
        return leases.claim(conn, run_id, lease_seconds=30, max_attempts=3)


def test_a_run_of_a_silent_worker_waits_again_and_its_attempt_counts(bench, reconciler, redis_client):
    run_id = bench.submit(b"content")
    claim(bench, run_id)
    reconciler.run()
    assert bench.run(run_id).status is RunStatus.PROCESSING
    expire(bench, run_id)
    reconciler.run()
    run = bench.run(run_id)
    assert (run.status, run.attempt) == (RunStatus.QUEUED, 1)
    assert bench.events(run_id)[-1].status is RunStatus.QUEUED
    assert len(bench.blobs()) == 1


def test_a_file_that_kills_its_worker_every_time_fails(bench, reconciler):
    run_id = bench.submit(b"content")
    for _ in range(3):
        bench.execute("UPDATE validation_runs SET next_attempt_at = NULL WHERE id = %s", run_id)
        assert claim(bench, run_id)
        expire(bench, run_id)
        reconciler.run()
    run = bench.run(run_id)
    assert (run.status, run.error_code) == (RunStatus.FAILED, "WORKER_CRASHED")
    assert bench.blobs() == {run.blob_key}
    assert bench.events(run_id)[-1].status is RunStatus.FAILED


def test_a_partial_upload_past_its_date_is_removed(bench, reconciler):
    upload_ids = [uuid4(), uuid4()]
    for upload_id, seconds in zip(upload_ids, (-1, 3600), strict=True):
        with bench.resources.blobs.open_part(upload_id) as part:
            part.write(b"half")
        with bench.resources.database.connection() as conn:
            uploads.open_(conn, upload_id=upload_id, owner="local", file_name="a.csv", ttl_seconds=seconds)
    reconciler.run()
    assert [bench.resources.blobs.part_size(upload_id) for upload_id in upload_ids] == [None, 4]


def test_files_of_nobody_are_removed_when_they_are_old(bench, reconciler):
    kept = bench.run(bench.submit(b"content")).blob_key
    orphan, fresh, lost_part = str(uuid4()), str(uuid4()), uuid4()
    for key in (orphan, fresh):
        upload_id = uuid4()
        with bench.resources.blobs.open_part(upload_id) as part:
            part.write(b"x")
        bench.resources.blobs.commit(upload_id, key)
    with bench.resources.blobs.open_part(lost_part) as part:
        part.write(b"x")
    make_older(bench, kept)
    make_older(bench, orphan)
    make_older(bench, lost_part, "parts")
    (bench.resources.settings.storage.blob_dir / "blobs" / "README").write_text("not ours")
    make_older(bench, "README")
    reconciler.run()
    assert bench.blobs() == {kept, fresh, "README"}
    assert bench.resources.blobs.part_size(lost_part) is None


def test_a_part_that_somebody_writes_is_left_alone(bench, reconciler):
    upload_id = uuid4()
    with bench.resources.blobs.open_part(upload_id) as part:
        part.write(b"x")
        make_older(bench, upload_id, "parts")
        reconciler.run()
        assert bench.resources.blobs.part_size(upload_id) == 1


def test_the_file_of_an_ended_run_is_removed(bench, reconciler):
    run_id = bench.submit(b"content")
    with bench.resources.database.connection() as conn:
        runs.request_cancel(conn, run_id, "local")
    reconciler.run()
    assert (bench.run(run_id).blob_key, bench.blobs()) == (None, set())


def test_the_file_of_a_failed_run_is_kept_for_its_time_and_no_longer(bench, reconciler):
    run_id = bench.submit(b"content")
    with bench.resources.database.connection() as conn:
        leases.fail(conn, leases.claim(conn, run_id, lease_seconds=30, max_attempts=3), TerminalError())
    reconciler.run()
    assert bench.blobs() == {bench.run(run_id).blob_key}
    age = f"{KEPT + 1} seconds"
    bench.execute("UPDATE validation_runs SET finished_at = now() - %s::interval WHERE id = %s", age, run_id)
    reconciler.run()
    assert (bench.run(run_id).blob_key, bench.blobs()) == (None, set())


def test_one_worker_at_a_time(bench, reconciler):
    with bench.resources.database.connection() as conn:
        assert locks.try_lock(conn, locks.RECONCILER)
        assert not reconciler.run()
    assert reconciler.run()


def test_a_step_that_fails_does_not_keep_the_others_from_their_turn(bench, reconciler):
    run_id = bench.submit(b"content")
    claim(bench, run_id)
    expire(bench, run_id)
    assert reconciler.run(lambda: 1 / 0)
    assert bench.run(run_id).status is RunStatus.QUEUED


def test_without_redis_expired_leases_are_still_requeued(bench):
    def away():
        raise TransientError

    reconciler = Reconciling(bench.resources, away)
    waiting, silent = bench.submit(b"content"), bench.submit(b"content")
    claim(bench, silent)
    expire(bench, silent)
    assert reconciler.run()
    assert [bench.run(run_id).status for run_id in (waiting, silent)] == [RunStatus.QUEUED] * 2


def test_it_works_by_itself_once_open(bench, reconciler, redis_client):
    bench.submit(b"content")
    scheduler = Scheduler(bench.resources.database, [reconciler.job(Schedule.every(0.05))])
    scheduler.open()
    try:
        deadline = time.monotonic() + 60
        while not redis_client.llen(READY) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert redis_client.llen(READY) == 1
    finally:
        scheduler.close()
