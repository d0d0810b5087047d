"""Periodic jobs: APScheduler triggers them in every worker, a PostgreSQL lock picks the worker that runs them.

When a job started last is stored before it runs. So it runs once for each time of its schedule, whatever is killed; and
if no worker was running at one or several of these times, the first one that starts runs it once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event

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

THREADS = 4  # so that a long job does not delay the others
JITTER = 0.1  # of the time between two runs of a job
MAX_JITTER = timedelta(seconds=10)
METRICS_SECONDS = 15.0
RETRY_SECONDS = 30.0  # when PostgreSQL did not answer
LOCAL = "local"  # name in logs of what each process does for itself
log = get_logger(__name__)

Step = Callable[[], object]


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """Steps that one worker runs for all. If one raises, the others run all the same, and the job counts as failed."""

    name: str
    schedule: Schedule
    lock: int
    steps: Sequence[Step]


class Scheduler:
    """Runs each of `jobs` in one process of all on a database, and `local` steps in this one, every so many seconds."""

    def __init__(
        self,
        database: Database,
        jobs: Sequence[PeriodicJob],
        local: Sequence[tuple[Step, float]] = (),
        *,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._local = local
        self._retry_after = timedelta(seconds=retry_seconds)
        self._stopped = Event()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(THREADS)},
            # A missed run is made up for, however late, and several missed runs once.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def open(self) -> None:
        """Start. Every job is checked at once: it may have been due while no worker was running."""
        for job in self._jobs:
            self._add(job.name, job.schedule, self._trigger, job)
        for number, (step, seconds) in enumerate(((self.update_metrics, METRICS_SECONDS), *self._local)):
            self._add(f"{LOCAL}-{number}", Schedule.every(seconds), _succeeds, LOCAL, step)
        self._scheduler.start()

    def close(self) -> None:
        """Stop after the steps that are running."""
        self._stopped.set()
        self._scheduler.shutdown()

    @property
    def is_stopping(self) -> bool:
        """Whether `close` was called."""
        return self._stopped.is_set()

    def run_if_due(self, job: PeriodicJob) -> bool:
        """Run a job if it is due and no other process runs it; return whether it ran. Raises `TransientError`."""
        taken_at = datetime.now(UTC)
        with self._database.connection() as conn:
            if not locks.try_lock(conn, job.lock) or not self._take(job, taken_at):
                return False
            outcome = self._run(job)
            if outcome is not None:
                with self._database.connection(durable=False) as other:
                    periodic.finish(other, job.name, taken_at, outcome)
        return True

    def update_metrics(self) -> None:
        """Export which jobs failed when they ran last, on whichever worker. Raises `TransientError`."""
        with self._database.connection() as conn:
            found = [periodic.last_execution(conn, job.name) for job in self._jobs]
        for last in found:
            if last is not None and last.outcome is not None:
                metrics.set_periodic_job_failing(last.name, failing=last.outcome is JobOutcome.FAILED)

    def _add(self, name: str, schedule: Schedule, function: Callable[..., object], *args: object) -> None:
        self._scheduler.add_job(function, _JitteredSchedule(schedule), args, id=name, next_run_time=datetime.now(UTC))

    def _take(self, job: PeriodicJob, taken_at: datetime) -> bool:
        """Store that a job starts, if it is due, and return whether it is."""
        with self._database.connection(durable=False) as conn:
            last = periodic.last_execution(conn, job.name)
            if last is not None and not _is_due(job.schedule, last.taken_at, taken_at):
                return False
            periodic.start(conn, job.name, taken_at)
            return True

    def _run(self, job: PeriodicJob) -> JobOutcome | None:
        """Run all steps; return None if this process stopped before the last one."""
        faults.point("reconciler.locked")
        results = [_succeeds(job.name, step) for step in job.steps if not self._stopped.is_set()]
        if len(results) < len(job.steps):
            return None
        outcome = JobOutcome.DONE if all(results) else JobOutcome.FAILED
        metrics.count_periodic_job(job.name, outcome)
        return outcome

    def _trigger(self, job: PeriodicJob) -> None:
        try:
            self.run_if_due(job)
        except FacnetError as error:
            log.warning("periodic_job_interrupted", periodic_job=job.name, **exception_fields(error))
            retry_at = datetime.now(UTC) + self._retry_after
            if not self._stopped.is_set() and job.schedule.after(datetime.now(UTC)) > retry_at:
                self._scheduler.modify_job(job.name, next_run_time=retry_at)


def _is_due(schedule: Schedule, last: datetime, now: datetime) -> bool:
    """Whether the schedule has a time since `last`, or `last` is in the future, written by a wrong clock."""
    return schedule.after(last) <= now or last > now + schedule.gap(now)


class _JitteredSchedule(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """The times of a schedule, each a little later, so that not all processes ask PostgreSQL at once."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        jitter = min(self._schedule.gap(now) * JITTER, MAX_JITTER)
        return self._schedule.after(now) + jitter * random.random()  # noqa: S311 - nothing secret


def _succeeds(job: str, step: Step) -> bool:
    """Run a step and return whether it succeeded. An error is logged, and ends neither the thread nor the job."""
    try:
        step()
    except FacnetError as error:
        log.warning("periodic_job_failed", periodic_job=job, **exception_fields(error))
    except Exception as error:  # noqa: BLE001 - see above
        fields = exception_fields(error)
        log.error("periodic_job_failed", periodic_job=job, **fields)  # noqa: TRY400 - a traceback may quote a cell
    else:
        return True
    return False
