"""Workers take runs in turn, and what was held back goes on by itself."""

from __future__ import annotations

from itertools import pairwise
from uuid import uuid4

import pytest
from dramatiq.worker import Worker

from facnet_grpc.jobs.contract import QUEUE, ValidateRun
from facnet_grpc.jobs.queue import NAMESPACE
from facnet_grpc.model.run import Priority, RunStatus
from facnet_grpc.storage.postgres import leases, runs
from workers import main
from workers.periodic.reconcile import Reconciler
from workers.validation import finalize
from workers.validation.job import validate

READY = f"{NAMESPACE}:{QUEUE}"


@pytest.fixture
def small(sample):
    """A file that takes no time."""
    return b"".join(sample.splitlines(keepends=True)[:21])


@pytest.fixture
def work(settings, bench):
    """Has a worker do what there is to do, woken by messages alone, until some runs have ended."""

    def until_ended(run_ids, *, threads=1, **changes):
        worker = Worker(main.assemble(settings.replace(**changes), message_seconds=3600.0), worker_threads=threads)
        worker.start()
        try:
            for run_id in run_ids:
                position = ""
                while not bench.run(run_id).status.is_terminal:
                    for event in bench.resources.events.tail({run_id: position}, block_seconds=0.2):
                        position = event.position
        finally:
            worker.stop(10_000)
        return [bench.run(run_id) for run_id in run_ids]

    return until_ended


def hand_in(bench, content, **more):
    run_id = bench.submit(content, **more)
    bench.resources.queue.enqueue(ValidateRun(run_id))
    return run_id


def test_whatever_its_message_says_a_worker_takes_the_high_run_first(bench, work, small):
    normal = [hand_in(bench, small) for _ in range(4)]
    high = hand_in(bench, small, priority=Priority.HIGH)
    ended = work([*normal, high])
    assert {run.status for run in ended} == {RunStatus.COMPLETED}
    assert min(ended, key=lambda run: run.started_at).id == high


def test_runs_beyond_an_owners_limit_follow_when_others_end(bench, work, small):
    """All messages are used up while one run is in progress; its end wakes a worker for the next one."""
    ended = work([hand_in(bench, small) for _ in range(4)], threads=3, max_active_runs=1)
    assert {run.status for run in ended} == {RunStatus.COMPLETED}
    in_order = sorted(ended, key=lambda run: run.started_at)
    assert all(one.finished_at <= next_.started_at for one, next_ in pairwise(in_order))


def reconciler(bench, redis_client, **changes):
    parts = bench.resources
    return Reconciler(
        parts.settings.replace(**changes).queue,
        parts.database,
        parts.queue,
        count_messages=lambda: redis_client.llen(READY),
        on_change=lambda run: finalize.publish_change(parts, run),
        message_seconds=0.0,
    )


def test_nobody_is_woken_for_what_is_held_back(bench, redis_client):
    for _ in range(3):
        bench.submit(b"content")
    reconciler(bench, redis_client, max_active_runs=2).enqueue_lost()
    assert redis_client.llen(READY) == 2
    with bench.resources.database.connection() as conn:
        leases.claim(conn, runs.page(conn, "local", limit=1)[0].id, lease_seconds=60, max_attempts=3)
    redis_client.delete(READY)
    reconciler(bench, redis_client, max_active_runs=1).enqueue_lost()
    assert redis_client.llen(READY) == 0
    reconciler(bench, redis_client).enqueue_lost()
    assert redis_client.llen(READY) == 2


def test_an_end_that_holds_back_nobody_wakes_nobody(bench, small, redis_client):
    bench.submit(small)
    bench.submit(small)
    validate(bench.resources, uuid4())
    assert redis_client.llen(READY) == 0


def test_the_end_of_a_large_file_wakes_somebody_if_others_wait(bench, small, redis_client):
    bench.submit(small, large=True)
    validate(bench.resources, uuid4())
    assert redis_client.llen(READY) == 0
    bench.submit(small, large=True)
    bench.submit(small, large=True)
    validate(bench.resources, uuid4())
    assert redis_client.llen(READY) == 1
