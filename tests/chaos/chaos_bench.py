"""Breaks one thing while one file is on its way, and compares what comes out with a run to which nothing happened."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from chaos_calls import Caller
from chaos_chunks import ChunkedSubmission
from chaos_client import SMALL, UNREADABLE, Submission, again, contents
from chaos_stack import LEASE_SECONDS, PATIENCE, WORKERS, ChaosStack, eventually
from chaos_truth import Outcome, attempts, heard_well, outcome, runs_with_key

# What can be broken while a process stands still at a point. Each returns once it is broken (and mended, if it can be).
AROUND: Mapping[str, Callable[[ChaosStack], object]] = {
    "flush": lambda stack: stack.redis.flushall(),
    "redis": lambda stack: stack.valkey.restart(crash=True),
    "postgres": lambda stack: stack.postgres.restart(),
    "postgres crash": lambda stack: stack.postgres.restart(crash=True),
    "cut": lambda stack: stack.proxy.cut(),
    "server": lambda stack: stack.supervisor.kill("server"),
    "workers": lambda stack: [stack.supervisor.kill(name) for name in WORKERS],
}


class Bench:
    """A stack, files, and what has to become of them."""

    def __init__(self, stack: ChaosStack) -> None:
        self.stack = stack
        self.files = contents()
        self.models = {name: self.submit(name).finished() for name in self.files}  # runs to which nothing happens
        self.expected: dict[str, Outcome] = {name: self._undisturbed(name) for name in self.files}

    def submit(self, size: str = SMALL, *, webhook_url: str = "") -> Submission:
        """Begin to submit and watch a file."""
        return Submission(self.stack, self.files[size], webhook_url=webhook_url)

    def chunked(self, seed: str, size: str = SMALL) -> Submission:
        """Begin to submit a file chunk by chunk, and to watch it; each seed once."""
        return ChunkedSubmission(self.stack, self.files[size], seed)

    def ended(self, size: str = SMALL) -> Caller:
        """Return somebody who may do things to a run that is over."""
        submission = self.submit(size)
        return Caller(self.stack, submission.finished(), submission.updates[-1].status)

    def break_while(self, point: str, fault: str, do: Callable[[], object]) -> None:
        """Do something in a thread, and break something while whoever comes to the point first stands still there."""
        self.stack.arm(f"{point}=stop")
        with ThreadPoolExecutor(1) as threads:
            doing = threads.submit(do)
            self.break_here(point, fault)
            doing.result(PATIENCE)

    def die_at(self, point: str, size: str = SMALL, more: str = "") -> Submission:
        """Submit a file, and SIGKILL whoever comes to the point first."""
        self.stack.arm(f"{point}=kill;{more}")
        submission = self.submit(size)
        submission.finished()
        eventually(f"{point} reached", lambda: self.stack.hits(point))
        return submission

    def break_at(self, point: str, fault: str, size: str = SMALL, more: str = "") -> tuple[Submission, float]:
        """Submit a file, and break something while whoever comes to the point first stands still there.

        Returns how long that was, in seconds, as well: a lease may have run out.
        """
        self.stack.arm(f"{point}=stop;{more}")
        submission = self.submit(size)
        took = self.break_here(point, fault)
        submission.finished()
        return submission, took

    def break_here(self, point: str, fault: str) -> float:
        """Break something once somebody stands still at a point, and let them go on; return how long that took."""
        pid = self.stack.stopped_at(point)
        since = time.monotonic()
        AROUND[fault](self.stack)
        _go_on(pid)
        return time.monotonic() - since

    def outlive_lease_at(self, point: str, size: str = SMALL, more: str = "") -> Submission:
        """Submit a file, and let the worker that comes to the point first go on only when another has finished."""
        self.stack.arm(f"{point}=stop;{more}")
        submission = self.submit(size)
        pid = self.stack.stopped_at(point)
        submission.finished()
        _go_on(pid)
        return submission

    def check(self, submission: Submission, tried: Collection[int], size: str = SMALL) -> None:
        """Check that all is as if nothing had happened, but for the number of attempts, which is one of `tried`."""
        run_id = submission.finished()
        assert outcome(self.stack, run_id) == self.expected[size]
        assert [str(found) for found in runs_with_key(self.stack, submission.key)] == [run_id]
        assert heard_well(submission.updates) == []
        assert [update.status for update in again(self.stack, submission)] == [submission.updates[-1].status]
        assert (found := attempts(self.stack, run_id)) in tried, f"{found} attempts, not {tried}"

    def _undisturbed(self, name: str) -> Outcome:
        found = outcome(self.stack, self.models[name])
        assert found.status == ("FAILED" if name == UNREADABLE else "COMPLETED")
        if name != UNREADABLE:
            assert all(count for count, _ in found.content), "a file to compare with has lines, rejects and results"
        return found


def times(took: float, usual: int) -> set[int]:
    """Return how many attempts are right: one more if a worker may have stood still for longer than its lease."""
    return {usual, usual + 1} if took > LEASE_SECONDS / 2 else {usual}


def _go_on(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
