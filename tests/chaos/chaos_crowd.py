"""Clients of a storm: each submits one file after the other and does things to the runs, as a seed says."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from threading import Event as Flag
from threading import Lock, Thread
from typing import Self

from chaos_calls import Caller
from chaos_chunks import ChunkedSubmission
from chaos_client import LARGE, SMALL, UNREADABLE, Submission
from chaos_exports import Wanted
from chaos_stack import Broken, ChaosStack

from facnet_client import FacnetError
from facnet_client.values import ExportFormat, Status

CLIENTS = 4
SIZES = ((SMALL, 0.75), (LARGE, 0.15), (UNREADABLE, 0.1))
SHARE_CHUNKED = 0.35
SHARE_CANCELLED = 0.05  # tried: the run may have ended before
SHARE_EXPORTED = 0.4
SHARE_DELETED = 0.3
SHARE_INSISTING = 0.7  # of those who delete: ask until they are answered
SHARE_AT_ONCE = 0.3  # of those who export and delete: do both at the same time
CANCEL_SECONDS = 1.0  # after it was accepted, at most
PAUSE_SECONDS = 3.0  # between two files of a client, at most


@dataclass(frozen=True)
class Plan:
    """What is done with one file. Drawn before anything happens, so that it does not depend on how things go."""

    seed: str
    size: str
    is_chunked: bool
    cancel_after: float | None
    retries: int  # of a file that fails each time; others are retried until they do not fail
    export: Wanted | None
    deletes: bool
    insists: bool
    at_once: bool
    pause: float

    @classmethod
    def draw(cls, seed: str) -> Self:
        """Choose everything that a seed chooses."""
        chance = Random(seed)
        names, weights = zip(*SIZES, strict=True)
        wanted = Wanted(chance.choice(list(ExportFormat)), records=chance.random() < 1 / 2)
        cancel_after = chance.uniform(0, CANCEL_SECONDS)
        return cls(
            seed=seed,
            size=chance.choices(names, weights)[0],
            is_chunked=chance.random() < SHARE_CHUNKED,
            cancel_after=cancel_after if chance.random() < SHARE_CANCELLED else None,
            retries=chance.randrange(3),
            export=wanted if chance.random() < SHARE_EXPORTED else None,
            deletes=chance.random() < SHARE_DELETED,
            insists=chance.random() < SHARE_INSISTING,
            at_once=chance.random() < SHARE_AT_ONCE,
            pause=chance.uniform(0, PAUSE_SECONDS),
        )


@dataclass
class Visit:
    """One file of a client: what it wanted, and how it went."""

    plan: Plan
    submission: Submission
    caller: Caller | None = None  # once the run has ended
    to_cancel: bool = False
    error: Exception | None = None  # of what was done to the ended run
    is_over: Flag = field(default_factory=Flag)


class Clients:
    """Come with one file after the other, each client for itself, until there are enough."""

    def __init__(self, stack: ChaosStack, files: dict[str, bytes], seed: int) -> None:
        self.enough = Flag()
        self.visits: list[Visit] = []
        self._stack = stack
        self._files = files
        self._lock = Lock()
        self._threads = [Thread(target=self._go, args=(f"{seed}/{n}",), daemon=True) for n in range(CLIENTS)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        """Let each finish what it has begun."""
        self.enough.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def running(self) -> list[str]:
        """Return the ids of runs that are going on."""
        with self._lock:
            submissions = [visit.submission for visit in self.visits]
        return [sent.run_id for sent in submissions if sent.run_id and sent.is_alive()]

    def ended(self) -> int:
        """Return how many visits have come to an end."""
        with self._lock:
            return sum(visit.is_over.is_set() for visit in self.visits)

    def _go(self, seed: str) -> None:
        for number in count():
            if self.enough.is_set():
                return
            plan = Plan.draw(f"{seed}/{number}")
            visit = Visit(plan, self._submit(plan))
            with self._lock:
                self.visits.append(visit)
            self._follow(visit)
            visit.is_over.set()
            self.enough.wait(plan.pause)

    def _submit(self, plan: Plan) -> Submission:
        content = self._files[plan.size]
        if plan.is_chunked:
            return ChunkedSubmission(self._stack, content, plan.seed)
        return Submission(self._stack, content)

    def _follow(self, visit: Visit) -> None:
        sent = visit.submission
        if visit.plan.cancel_after is not None:
            self._cancel(visit, visit.plan.cancel_after)
        sent.join()
        if sent.error is not None or sent.run_id is None:
            return
        visit.caller = Caller(self._stack, sent.run_id, sent.updates[-1].status)
        try:
            self._afterwards(visit.plan, visit.caller)
        except (FacnetError, Broken) as error:
            visit.error = error

    def _afterwards(self, plan: Plan, caller: Caller) -> None:
        if plan.size != UNREADABLE:
            caller.retry_until_completed()
        for _ in range(plan.retries if caller.status is Status.FAILED else 0):
            caller.retry()
        todo: list[Callable[[], None]] = []
        if plan.export is not None and caller.status is Status.COMPLETED:
            wanted = plan.export
            todo.append(lambda: caller.export(wanted))
        if plan.deletes:
            todo.append(lambda: caller.delete(insists=plan.insists))
        if plan.at_once:
            _at_once(todo)
        else:
            for do in todo:
                do()

    def _cancel(self, visit: Visit, seconds: float) -> None:
        sent = visit.submission
        while sent.run_id is None and sent.is_alive():
            sent.join(0.05)
        if sent.run_id is None:
            return
        sent.join(seconds)
        visit.to_cancel = True
        with self._stack.client() as client, suppress(FacnetError):  # a server that is away is not asked twice
            client.cancel(sent.run_id)


def _at_once(todo: list[Callable[[], None]]) -> None:
    """Do several things at the same time. Raises the first error that one of them raised."""
    errors: list[Exception] = []

    def attempt(do: Callable[[], None]) -> None:
        try:
            do()
        except (FacnetError, Broken) as error:
            errors.append(error)

    threads = [Thread(target=attempt, args=(do,), daemon=True) for do in todo]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
