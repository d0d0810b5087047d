"""What the reconciler sets right."""

from __future__ import annotations

import os
import time
from uuid import uuid4

import pytest

from facnet_grpc import metrics
from facnet_grpc.errors import TerminalError, TransientError
from facnet_grpc.jobs.contract import QUEUE
from facnet_grpc.jobs.queue import NAMESPACE
from facnet_grpc.model.run import RunStatus
from facnet_grpc.settings.schedule import Schedule
from facnet_grpc.storage.postgres import leases, locks, queue, runs, uploads
from workers.periodic import reconcile
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


class Rounds(Reconciler):
    """A reconciler that does its chores, as the timetable would, when it is told."""

    def chore(self, schedule):
        return PeriodicJob("reconcile", schedule, locks.RECONCILER, self.chores)

    def look(self):
        return Scheduler(self._database, (), ()).do(self.chore(Always()))


@pytest.fixture
def reconciler(bench, redis_client, monkeypatch):
    monkeypatch.setattr(reconcile, "MESSAGE_SECONDS", 0.0)
    monkeypatch.setattr("workers.periodic.retention.GRACE_SECONDS", 0.0)
    parts = bench.resources
    return Rounds(
        parts.settings.queue,
        parts.database,
        parts.queue,
        messages=lambda: redis_client.llen(READY),
        changed=lambda run: finalize.publish_change(parts, run),
        others=Retention(parts.database, parts.blobs, failed_blob_seconds=KEPT).chores,
    )


def make_older(bench, name, directory="blobs"):
    path = bench.resources.settings.storage.blob_dir / directory / str(name)
    os.utime(path, (time.time() - 7200,) * 2)


def expire(bench, run_id):
    bench.execute("UPDATE validation_runs SET lease_expires_at = now() - interval '1 second' WHERE id = %s", run_id)


def gauges():
    return metrics.QUEUE_DEPTH._value.get(), metrics.QUEUE_HELD._value.get()


def test_what_more_workers_would_not_help_is_no_part_of_the_queue_that_they_are_measured_by(bench, reconciler):
    run_id, *_ = [bench.submit(b"content") for _ in range(3)]
    bench.execute("UPDATE validation_runs SET created_at = now() - interval '1 hour'")
    reconciler._settings = bench.resources.settings.replace(max_active_runs=1).queue
    reconciler.measure()
    assert gauges() == (3, 0)
    assert 3600 <= metrics.QUEUE_AGE._value.get() < 3700
    claim(bench, run_id)
    reconciler.measure()
    assert gauges() == (0, 2)
    assert metrics.QUEUE_AGE._value.get() == 0
    reconciler._settings = bench.resources.settings.queue
    reconciler.measure()
    assert gauges() == (2, 0), "without a limit they only wait for a worker"


def test_a_run_whose_message_was_lost_is_queued_again_and_only_once(bench, reconciler, redis_client):
    bench.submit(b"content")
    assert reconciler.look()
    assert redis_client.llen(READY) == 1
    assert reconciler.look()
    assert redis_client.llen(READY) == 1


def test_nothing_is_queued_while_messages_wait_for_their_turn(bench, reconciler, redis_client):
    for _ in range(3):
        bench.submit(b"content")
        redis_client.rpush(READY, "message")
    reconciler.look()
    assert redis_client.llen(READY) == 3


def test_a_run_that_is_not_due_yet_waits(bench, reconciler, redis_client):
    run_id = bench.submit(b"content")
    bench.execute("UPDATE validation_runs SET next_attempt_at = now() + interval '1 hour' WHERE id = %s", run_id)
    reconciler.look()
    assert redis_client.llen(READY) == 0


def claim(bench, run_id):
    with bench.resources.database.connection() as conn:
        return leases.claim(conn, run_id, lease_seconds=30, max_attempts=3)


def test_a_run_of_a_silent_worker_waits_again_and_its_attempt_counts(bench, reconciler, redis_client):
    run_id = bench.submit(b"content")
    claim(bench, run_id)
    reconciler.look()
    assert bench.run(run_id).status is RunStatus.PROCESSING
    expire(bench, run_id)
    reconciler.look()
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
        reconciler.look()
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
    reconciler.look()
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
    reconciler.look()
    assert bench.blobs() == {kept, fresh, "README"}
    assert bench.resources.blobs.part_size(lost_part) is None


def test_a_part_that_somebody_writes_is_left_alone(bench, reconciler):
    upload_id = uuid4()
    with bench.resources.blobs.open_part(upload_id) as part:
        part.write(b"x")
        make_older(bench, upload_id, "parts")
        reconciler.look()
        assert bench.resources.blobs.part_size(upload_id) == 1


def test_the_file_of_an_ended_run_is_removed(bench, reconciler):
    run_id = bench.submit(b"content")
    with bench.resources.database.connection() as conn:
        runs.request_cancel(conn, run_id, "local")
    reconciler.look()
    assert (bench.run(run_id).blob_key, bench.blobs()) == (None, set())


def test_the_file_of_a_failed_run_is_kept_for_its_time_and_no_longer(bench, reconciler):
    run_id = bench.submit(b"content")
    with bench.resources.database.connection() as conn:
        leases.fail(conn, leases.claim(conn, run_id, lease_seconds=30, max_attempts=3), TerminalError())
    reconciler.look()
    assert bench.blobs() == {bench.run(run_id).blob_key}
    age = f"{KEPT + 1} seconds"
    bench.execute("UPDATE validation_runs SET finished_at = now() - %s::interval WHERE id = %s", age, run_id)
    reconciler.look()
    assert (bench.run(run_id).blob_key, bench.blobs()) == (None, set())


def test_one_worker_at_a_time(bench, reconciler):
    with bench.resources.database.connection() as conn:
        assert locks.try_lock(conn, locks.RECONCILER)
        assert not reconciler.look()
    assert reconciler.look()


def test_a_chore_that_fails_does_not_keep_the_others_from_their_turn(bench, reconciler, monkeypatch):
    run_id = bench.submit(b"content")
    claim(bench, run_id)
    expire(bench, run_id)
    monkeypatch.setattr(queue, "runs_in_order", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(uploads, "expired", lambda *_, **__: 1 / 0)
    assert reconciler.look()
    assert bench.run(run_id).status is RunStatus.QUEUED


def test_without_redis_leases_are_still_looked_after(bench, reconciler):
    def away():
        raise TransientError

    reconciler._messages = away
    waiting, silent = bench.submit(b"content"), bench.submit(b"content")
    claim(bench, silent)
    expire(bench, silent)
    assert reconciler.look()
    assert [bench.run(run_id).status for run_id in (waiting, silent)] == [RunStatus.QUEUED] * 2


def test_it_works_by_itself_once_open(bench, reconciler, redis_client):
    bench.submit(b"content")
    timetable = Scheduler(bench.resources.database, [reconciler.chore(Schedule.every(0.05))], ())
    timetable.open()
    try:
        deadline = time.monotonic() + 60
        while not redis_client.llen(READY) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert redis_client.llen(READY) == 1
    finally:
        timetable.close()
