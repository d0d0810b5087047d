"""Every fault at every point: some 280 cases, a quarter of an hour. `make chaos-points` runs them."""

from __future__ import annotations

import pytest
from chaos_bench import AROUND, Bench, times
from chaos_client import LARGE, SMALL
from chaos_matrix import AT_WORK, COMMITTED, NOT_TRIED, PERIODIC, RETENTION, SERVER, TRIED_ALREADY
from chaos_stack import eventually
from chaos_truth import age, attempts, outcome

pytestmark = [pytest.mark.system, pytest.mark.chaos_long]

# What else has to go wrong for anybody to come to a point.
BEFORE = {
    "worker.heartbeat": "worker.copy.done=sleep:1.5",
    "worker.failure.settling": "worker.copy.mid=raise:transient",
    "worker.failure.settled": "worker.copy.mid=raise:transient",
    "reconciler.taken_back": "worker.copy.mid=kill",
    "reconciler.queued_again": "worker.claim.before=kill",
}
SEVERAL = {"server.upload.chunk_written", "worker.parse.mid"}
AWAY = {"postgres", "postgres crash"}


def size_for(point: str) -> str:
    return LARGE if point in SEVERAL else SMALL


@pytest.mark.parametrize("point", SERVER)
def test_the_server_dies(bench: Bench, point):
    bench.check(bench.die_at(point, size_for(point)), {1}, size_for(point))


@pytest.mark.parametrize("fault", AROUND)
@pytest.mark.parametrize("point", SERVER)
def test_something_breaks_while_the_server_is_at(bench: Bench, point, fault):
    submission, _ = bench.break_at(point, fault, size_for(point))

    # Once the run is committed a worker may be at it, without any message, and be killed or cut off.
    bench.check(submission, {1, 2} if fault in {*AWAY, "workers"} else {1}, size_for(point))


@pytest.mark.parametrize(
    ("point", "tried"),
    [
        *[(point, 2) for point in (*AT_WORK, *TRIED_ALREADY)],
        *[(point, 1) for point in (*COMMITTED, *NOT_TRIED)],
    ],
)
def test_a_worker_dies(bench: Bench, point, tried):
    submission = bench.die_at(point, size_for(point), BEFORE.get(point, ""))

    bench.check(submission, {tried}, size_for(point))


@pytest.mark.parametrize(
    ("point", "tried"),
    [
        *[(point, 2) for point in (*AT_WORK, *TRIED_ALREADY)],
        *[(point, 1) for point in (*COMMITTED, *NOT_TRIED)],
    ],
)
def test_a_worker_stands_still_for_longer_than_its_lease(bench: Bench, point, tried):
    submission = bench.outlive_lease_at(point, size_for(point), BEFORE.get(point, ""))

    bench.check(submission, {tried}, size_for(point))


@pytest.mark.parametrize("fault", AROUND)
@pytest.mark.parametrize("point", [*AT_WORK, *COMMITTED, *TRIED_ALREADY, *NOT_TRIED])
def test_something_breaks_while_a_worker_is_at(bench: Bench, point, fault):
    submission, took = bench.break_at(point, fault, size_for(point), BEFORE.get(point, ""))

    if point in AT_WORK and fault == "workers":
        usual = {2}
    elif point in AT_WORK and fault in AWAY:  # what needs PostgreSQL just then fails, the rest does not notice
        usual = {1, 2}
    else:
        usual = {2} if point in TRIED_ALREADY else {1}
    bench.check(submission, {tries for one in usual for tries in times(took, one)}, size_for(point))


@pytest.mark.parametrize("fault", AROUND)
@pytest.mark.parametrize("point", PERIODIC)
def test_something_breaks_while_a_worker_puts_things_right(bench: Bench, point, fault):
    submission, took = bench.break_at(point, fault)

    bench.check(submission, times(took, 1) | {2})


@pytest.mark.parametrize("point", RETENTION)
def test_a_worker_dies_while_it_deletes_what_another_did_not(bench: Bench, point):
    submission = bench.die_at("worker.commit.after", more=f"{point}=kill")
    age(bench.stack)

    bench.check(submission, {1})
    eventually("somebody deletes it", lambda: bench.stack.hits(point))


@pytest.mark.parametrize("point", PERIODIC)
def test_the_worker_that_puts_things_right_stands_still(bench: Bench, point):
    """The other one is killed at work, starts again, and must not wait for the first."""
    bench.stack.arm(f"{point}=stop;worker.copy.mid=kill")
    bench.stack.stopped_at(point)
    submission = bench.submit()
    submission.finished()

    bench.check(submission, {1, 2})


@pytest.mark.parametrize(
    "point", ["worker.parse.first", "worker.copy.mid", "worker.rules.between", "worker.results.mid"]
)
def test_a_passing_error_is_got_over_twice_and_not_three_times(bench: Bench, point):
    bench.stack.arm(f"{point}=raise:transient@1;{point}=raise:transient@2")
    bench.check(bench.submit(), {3})

    bench.stack.arm(f"{point}=raise:transient@1+")
    submission = bench.submit()
    found = outcome(bench.stack, submission.finished())
    assert (found.status, found.error_code) == ("FAILED", "ATTEMPTS_EXHAUSTED")
    assert [rows for rows, _ in found.content] == [0, 0, 0]
    assert attempts(bench.stack, submission.run_id) == len(bench.stack.hits(point)) == 3
