"""Faults at the points that calls come to which do not submit or watch in one stream. `make chaos-points` runs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chaos_bench import AROUND, Bench, times
from chaos_calls import Caller, Deletion
from chaos_client import LARGE, SMALL, UNREADABLE
from chaos_deleted import halves, is_there
from chaos_exports import Wanted, is_right
from chaos_matrix import CHUNKED, DELETED, EXPORTED, NOTIFYING, RETRIED
from chaos_receiver import Receiver, all_told, receiver
from chaos_stack import eventually
from chaos_truth import attempts, outcome

from facnet_client.values import ExportFormat, Status

pytestmark = [pytest.mark.system, pytest.mark.chaos_long]

LINES = Wanted(ExportFormat.JSONL, records=True)
# A point of the server, or that it dies there, which is the last of all faults.
BROKEN = [*AROUND, "kill"]


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def broken(bench: Bench, point: str, fault: str, do) -> None:
    """Do something that comes to a point of the server, and break something there."""
    if fault == "kill":
        bench.stack.arm(f"{point}=kill")
        do()
        assert bench.stack.hits(point)
    else:
        bench.break_while(point, fault, do)


@pytest.mark.parametrize("point", CHUNKED)
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_server_dies_while_chunks_arrive(bench: Bench, point, size):
    bench.stack.arm(f"{point}=kill")
    submission = bench.chunked(f"{point}/{size}", size)

    bench.check(submission, {1}, size)
    assert bench.stack.hits(point)


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("point", RETRIED)
def test_something_breaks_while_a_failed_run_is_tried_again(bench: Bench, point, fault):
    caller = bench.ended(UNREADABLE)

    broken(bench, point, fault, caller.retry)

    assert caller.status is Status.FAILED
    assert outcome(bench.stack, caller.run_id) == bench.expected[UNREADABLE]
    assert caller.wrong == []


def test_a_run_that_failed_by_bad_luck_completes_when_it_is_tried_again(bench: Bench):
    bench.stack.arm("worker.copy.mid=raise:transient@1+")
    caller = bench.ended()
    assert caller.status is Status.FAILED
    bench.stack.arm("server.retry.committed=kill;worker.commit.before=kill")

    caller.retry()

    assert caller.status is Status.COMPLETED
    assert outcome(bench.stack, caller.run_id) == bench.expected[SMALL]
    assert attempts(bench.stack, caller.run_id) == 2


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("size", [SMALL, UNREADABLE])  # the file of a failed run is still there
@pytest.mark.parametrize("point", DELETED)
def test_something_breaks_while_a_run_is_deleted(bench: Bench, point, size, fault):
    caller = bench.ended(size)

    broken(bench, point, fault, lambda: caller.delete(insists=True))

    assert_gone(bench, caller)


@pytest.mark.parametrize("point", DELETED)
def test_somebody_who_does_not_wait_for_the_answer_leaves_all_or_nothing(bench: Bench, point):
    caller = bench.ended()

    broken(bench, point, "kill", lambda: caller.delete(insists=False))

    assert halves(bench.stack, caller.run_id) == []
    assert is_there(bench.stack, caller.run_id) == (point == "server.delete.erased")


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("point", EXPORTED)
def test_something_breaks_before_the_first_part_of_an_export(bench: Bench, point, fault):
    caller = bench.ended()

    broken(bench, point, fault, lambda: caller.export(LINES))

    assert_exported(bench, caller, SMALL)


def test_the_server_dies_in_the_middle_of_an_export(bench: Bench):
    caller = bench.ended(LARGE)
    bench.stack.arm("server.export.sending=kill@3")

    caller.export(LINES)

    assert_exported(bench, caller, LARGE)
    assert len(bench.stack.hits("server.export.sending")) > 3


@pytest.mark.parametrize("fault", [*AROUND, "kill", "lease"])
@pytest.mark.parametrize("point", NOTIFYING)
def test_something_breaks_while_somebody_is_told(bench: Bench, hook: Receiver, point, fault):
    bench.stack.arm(f"{point}={'kill' if fault == 'kill' else 'stop'}")
    submission = bench.submit(webhook_url=hook.url)
    run_id = submission.finished()
    took = 0.0
    if fault == "kill":
        eventually(f"{point} reached", lambda: bench.stack.hits(point))
    elif fault == "lease":
        bench.stack.stopped_at(point)
        eventually("another tells it again", lambda: all_told(bench.stack, run_id))
        bench.stack.go_on()
    else:
        took = bench.break_here(point, fault)

    ((event, tried, became),) = all_told(bench.stack, run_id)

    bench.check(submission, times(took, 1))
    assert became == "sent"
    assert tried in ({2} if fault in {"kill", "workers", "lease"} else {1, 2})
    assert hook.of(run_id) == [event] * tried


def assert_gone(bench: Bench, caller: Caller) -> None:
    assert caller.deletion is Deletion.ANSWERED
    assert not is_there(bench.stack, caller.run_id)
    assert halves(bench.stack, caller.run_id) == []
    assert caller.wrong == []


def assert_exported(bench: Bench, caller: Caller, size: str) -> None:
    (exported,) = caller.exported
    assert is_right(bench.stack, exported, bench.models[size])
    assert caller.wrong == []
