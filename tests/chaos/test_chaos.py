"""One case of each kind. `test_chaos_points.py` has every fault at every point, `storm.py` some at random."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from chaos_bench import Bench, times
from chaos_calls import Caller
from chaos_client import LARGE
from chaos_deleted import halves, is_there
from chaos_matrix import CHUNKED, ROWS, SERVER
from chaos_stack import eventually
from chaos_truth import attempts, heard_well, outcome, runs_with_key

from facnet_grpc import faults
from facnet_grpc.jobs.contract import ValidateRun
from facnet_grpc.jobs.queue import JobQueue, make_broker

pytestmark = pytest.mark.system


def test_a_worker_killed_in_the_middle_of_loading(bench):
    bench.check(bench.die_at("worker.copy.mid", LARGE), {2}, LARGE)


def test_a_worker_killed_just_after_it_has_committed(bench):
    bench.check(bench.die_at("worker.commit.after"), {1})


def test_the_server_killed_while_chunks_arrive_and_while_the_run_is_deleted(bench: Bench):
    bench.stack.arm("server.blob.committed=kill;server.delete.committed=kill")
    submission = bench.chunked("one case")
    bench.check(submission, {1})
    caller = Caller(bench.stack, submission.finished(), submission.updates[-1].status)

    caller.delete(insists=True)

    assert (is_there(bench.stack, caller.run_id), halves(bench.stack, caller.run_id), caller.wrong) == (False, [], [])
    assert runs_with_key(bench.stack, submission.key) == []


def test_every_point_is_in_one_row_of_the_cases_at_points():
    assert Counter(itertools.chain(*ROWS)) == Counter(faults.POINTS.keys())
    assert set(CHUNKED) <= set(SERVER)


def test_redis_forgets_everything_while_a_worker_works(bench):
    submission, took = bench.break_at("worker.rules.between", "flush")

    bench.check(submission, times(took, 1))


def test_redis_is_away_while_a_file_is_submitted(bench: Bench):
    with bench.stack.without_redis():
        submission = bench.submit()
        eventually("accepted", lambda: submission.run_id or submission.error)

    bench.check(submission, {1})


def test_postgresql_crashes_while_lines_are_copied(bench):
    submission, took = bench.break_at("worker.copy.mid", "postgres crash")

    bench.check(submission, times(took, 2))


def test_the_connection_of_a_client_is_cut(bench):
    submission, took = bench.break_at("server.upload.chunk_written", "cut", LARGE)

    bench.check(submission, times(took, 1), LARGE)


def test_a_lease_runs_out_under_a_slow_worker_which_then_goes_on(bench):
    bench.check(bench.outlive_lease_at("worker.results.mid"), {2})


def test_many_messages_about_one_run_make_one_attempt(bench: Bench):
    bench.stack.arm("worker.claim.before=stop@1;worker.claim.before=stop@2")
    submission = bench.submit()
    eventually("accepted", lambda: submission.run_id or submission.error)
    queue = JobQueue(make_broker(bench.stack.valkey.url))
    for _ in range(20):
        queue.enqueue(ValidateRun(submission.run_id))
    eventually("two workers have a message each", lambda: len(bench.stack.hits("worker.claim.before")) >= 2)
    bench.stack.disarm()

    bench.check(submission, {1})
    assert eventually("nobody is asked any more", lambda: bench.stack.redis.llen("facnet:jobs:validation") == 0)


def test_a_file_that_kills_its_worker_fails_after_three_attempts_and_others_go_on_though_the_server_dies_twice(
    bench: Bench,
):
    upload, accepted = "server.upload.chunk_written", "server.run.committed"
    bench.stack.arm(
        "worker.parse.mid=kill@1+;"  # only the large file has more than one batch
        f"{upload}=kill@1;{accepted}=kill@2"  # in the middle of a file; when a run is there and nobody knows
    )
    poison = bench.submit(LARGE)
    others = [bench.submit() for _ in range(3)]

    for other in others:
        bench.check(other, {1, 2})
    found = outcome(bench.stack, poison.finished())
    assert (found.status, found.error_code) == ("FAILED", "WORKER_CRASHED")
    assert [rows for rows, _ in found.content] == [0, 0, 0]
    assert attempts(bench.stack, poison.run_id) == 3
    assert len(bench.stack.hits("worker.parse.mid")) == 3
    assert heard_well(poison.updates) == []
    assert [len(bench.stack.hits(point)) >= least for point, least in ((upload, 1), (accepted, 2))] == [True, True]
