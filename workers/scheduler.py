"""What workers do from time to time: some of it each for itself, the rest one of them for all.

APScheduler wakes every process at the moments of a schedule, each a little later than the others. Which of them then
does a chore, PostgreSQL decides: whoever has its advisory lock looks into `scheduled_work` whether somebody has done it
since the last moment, and notes that it is being done before it begins. So it is done once for each moment, whatever is
killed; if no worker was there at a moment, or at several, the first one that is does it once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event as Flag

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from facnet_grpc import faults, metrics
from facnet_grpc.errors import FacnetError
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.settings.schedule import Schedule
from facnet_grpc.storage.postgres import locks, periodic
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.storage.postgres.periodic import JobOutcome

THREADS = 4  # so that a long chore keeps no other one waiting
JITTER = 0.1  # of the time between two moments
MOST_JITTER = timedelta(seconds=10)
MEASURE_SECONDS = 15.0
OWN = "own"  # what each process does for itself, in logs
AGAIN = timedelta(seconds=30)  # when PostgreSQL did not answer
log = get_logger(__name__)

Step = Callable[[], object]


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """Steps that one worker does for all. A step that raises keeps no other from its turn, but the chore has failed."""

    name: str
    schedule: Schedule
    lock: int
    steps: Sequence[Step]


class Scheduler:
    """Does chores once in all processes on one database, and `own` steps in each, by the seconds between two times."""

    def __init__(self, database: Database, chores: Sequence[PeriodicJob], own: Sequence[tuple[Step, float]]) -> None:
        self._database = database
        self._chores = chores
        self._own = own
        self._stopped = Flag()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(THREADS)},
            # Late is better than never, and once is enough.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def open(self) -> None:
        """Start. Everything is looked at once at the beginning: it may have been due while nobody was there."""
        for chore in self._chores:
            self._add(chore.name, chore.schedule, self._look, chore)
        for number, (step, seconds) in enumerate(((self.measure, MEASURE_SECONDS), *self._own)):
            self._add(f"{OWN}-{number}", Schedule.every(seconds), _succeeds, OWN, step)
        self._scheduler.start()

    def close(self) -> None:
        """Stop after the steps that are being done."""
        self._stopped.set()
        self._scheduler.shutdown()

    def do(self, chore: PeriodicJob) -> bool:
        """Do a chore if it is due and nobody else is at it; returns whether it did. Raises `TransientError`."""
        taken_at = datetime.now(UTC)
        with self._database.connection() as conn:
            if not locks.try_lock(conn, chore.lock) or not self._take(chore, taken_at):
                return False
            outcome = self._work(chore)
            if outcome is not None:
                with self._database.connection(durable=False) as other:
                    periodic.finish(other, chore.name, taken_at, outcome)
        return True

    def measure(self) -> None:
        """Tell Prometheus which chores failed the last time. Every worker does, whoever did them."""
        with self._database.connection() as conn:
            known = [periodic.last_execution(conn, chore.name) for chore in self._chores]
        for last in known:
            if last is not None and last.outcome is not None:
                metrics.CHORES_FAILING.labels(last.name).set(last.outcome is JobOutcome.FAILED)

    def _add(self, name: str, schedule: Schedule, function: Callable[..., object], *args: object) -> None:
        self._scheduler.add_job(function, _Moments(schedule), args, id=name, next_run_time=datetime.now(UTC))

    def _take(self, chore: PeriodicJob, taken_at: datetime) -> bool:
        with self._database.connection(durable=False) as conn:
            last = periodic.last_execution(conn, chore.name)
            if last is not None and not _is_due(chore.schedule, last.taken_at, taken_at):
                return False
            periodic.start(conn, chore.name, taken_at)
            return True

    def _work(self, chore: PeriodicJob) -> JobOutcome | None:
        """Do all steps; None if this process has to stop before the last one."""
        faults.point("reconciler.locked")
        results = [_succeeds(chore.name, step) for step in chore.steps if not self._stopped.is_set()]
        if len(results) < len(chore.steps):
            return None
        outcome = JobOutcome.DONE if all(results) else JobOutcome.FAILED
        metrics.CHORES.labels(chore.name, outcome).inc()
        return outcome

    def _look(self, chore: PeriodicJob) -> None:
        try:
            self.do(chore)
        except FacnetError as error:
            log.warning("chore_interrupted", chore=chore.name, **exception_fields(error))
            soon = datetime.now(UTC) + AGAIN
            if not self._stopped.is_set() and chore.schedule.after(datetime.now(UTC)) > soon:
                self._scheduler.modify_job(chore.name, next_run_time=soon)


def _is_due(schedule: Schedule, last: datetime, now: datetime) -> bool:
    """Whether there was a moment since; or else `last` is by a clock that was wrong."""
    return schedule.after(last) <= now or last > now + schedule.gap(now)


class _Moments(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """The moments of a schedule, each a little later, so that not all processes ask at once."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        most = min(self._schedule.gap(now) * JITTER, MOST_JITTER)
        return self._schedule.after(now) + most * random.random()  # noqa: S311 - nothing secret


def _succeeds(chore: str, step: Step) -> bool:
    """Do it and return whether it went well. What goes wrong is logged, and ends neither thread nor chore."""
    try:
        step()
    except FacnetError as error:
        log.warning("chore_failed", chore=chore, **exception_fields(error))
    except Exception as error:  # noqa: BLE001 - see above
        log.error("chore_failed", chore=chore, **exception_fields(error))  # noqa: TRY400 - a traceback may quote a cell
    else:
        return True
    return False
