"""Where a worker process is put together: `dramatiq workers.main:setup --processes 2 --threads 1`.

Dramatiq calls `setup` in each of its processes, after it has forked them: the parent never imports what starts threads
(pyarrow, OpenSSL), so nothing is inherited half-way. Connections and threads are made when the worker boots.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from facnet_grpc import health, logs, process
from facnet_grpc.errors import FacnetError
from facnet_grpc.events.stream import RedisEvents, connect
from facnet_grpc.jobs.queue import JobQueue, make_broker
from facnet_grpc.rules import registry
from facnet_grpc.settings import Settings
from facnet_grpc.settings.environment import SettingsError
from facnet_grpc.settings.schedule import ScheduleSettings
from facnet_grpc.storage import factory
from facnet_grpc.storage.postgres import locks
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.tracing import Traces
from workers import actors, broker
from workers.heartbeat import SAY_SECONDS, WorkerHeartbeat
from workers.middleware.metrics import MetricsPage
from workers.notifier import Notifier
from workers.periodic.key_rotation import KeyRotation
from workers.periodic.reconcile import Reconciler
from workers.periodic.reference_refresh import NAME, ReferenceRefresh
from workers.periodic.retention import Retention
from workers.process import configure_malloc, warmup
from workers.revalidation import Revalidator
from workers.scheduler import PeriodicJob, Scheduler, Step
from workers.validation import finalize
from workers.validation.job import validate
from workers.validation.lease_guard import GracefulShutdown
from workers.validation.resources import ReferenceCache, Resources

CANNOT_START = 2


def setup() -> None:
    """Make this process a worker: sets dramatiq's broker and declares the actor, or refuses to boot."""
    try:
        settings = Settings.from_env()
        logs.configure(settings.process.log_level, settings.process.log_format)
        process.forbid()
        configure_malloc()
        dramatiq.set_broker(assemble(settings))
        warmup(registry.load(settings.rules.rule_packs_dir))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(CANNOT_START) from None
    except FacnetError as error:
        sys.stderr.write(f"FACNET_BLOB_DIR: cannot be used ({error}).\n")
        raise SystemExit(CANNOT_START) from None


def assemble(settings: Settings) -> RedisBroker:
    """Return a worker's broker with everything behind it; nothing is connected yet.

    Raises `FacnetError` if the directory of the files cannot be made.
    """
    resources = make_resources(settings)
    revalidator = Revalidator(resources)
    notifier = Notifier(settings.notify, resources.database)
    presence = WorkerHeartbeat(
        resources.database, threads=settings.worker.worker_threads, run_ids=resources.active_runs.run_ids
    )
    worker_broker: RedisBroker
    reconciler = Reconciler(
        settings.queue,
        resources.database,
        resources.queue,
        messages=lambda: broker.messages(worker_broker),
        changed=partial(finalize.publish_change, resources),
        others=(presence.forget_others, *revalidator.chores, *notifier.chores),
    )
    timetable = Scheduler(
        resources.database,
        _chores(resources, reconciler),
        own=((presence.say, SAY_SECONDS), (reconciler.measure, settings.schedule.reconcile_seconds)),
    )
    components = (
        Traces(settings.process.otlp_endpoint, "facnet-worker"),
        resources.database,
        MetricsPage(settings.process.metrics_listen, health.of(settings.storage, resources.database)),
        presence,
        timetable,
        notifier,
    )
    stop_jobs = partial(resources.shutdown.request, settings.process.shutdown_seconds)
    worker_broker = broker.make(settings.storage.redis_url.get_secret_value(), components, stop_jobs)
    actors.declare(worker_broker, partial(validate, resources))
    actors.declare_revalidation(worker_broker, revalidator.work)
    return worker_broker


def _chores(resources: Resources, reconciler: Reconciler) -> list[PeriodicJob]:
    settings, database = resources.settings, resources.database
    retention = (*_retention(resources).chores, KeyRotation(database, settings.storage.blob_keys).look)
    return [
        _chore(settings.schedule, "reconcile", locks.RECONCILER, reconciler.chores),
        _chore(settings.schedule, "retention", locks.RETENTION, retention),
        *chores_of_reference(settings.schedule, database),
    ]


def _chore(settings: ScheduleSettings, name: str, lock: int, steps: Sequence[Step]) -> PeriodicJob:
    return PeriodicJob(name, settings.chore_schedules[name], lock, steps)


def chores_of_reference(settings: ScheduleSettings, database: Database) -> list[PeriodicJob]:
    """Return the chore that looks into the folder with reference files, if there is one."""
    folder = settings.reference_refresh_dir
    if folder is None:
        return []
    return [_chore(settings, NAME, locks.REFRESH, (ReferenceRefresh(database, folder).look,))]


def _retention(resources: Resources) -> Retention:
    settings = resources.settings.schedule
    return Retention(
        resources.database,
        resources.blobs,
        failed_blob_seconds=settings.failed_blob_seconds,
        retention_days=settings.retention_days,
    )


def make_resources(settings: Settings) -> Resources:
    """Return what attempts need; the database is not open yet."""
    redis_url = settings.storage.redis_url.get_secret_value()
    # A worker that freezes in a transaction must let go as soon as one that freezes at work.
    database = factory.database(settings.storage, "facnet-worker", idle_seconds=settings.queue.lease_seconds)
    return Resources(
        settings=settings,
        database=database,
        blobs=factory.blob_store(settings.storage, database),
        events=RedisEvents(connect(redis_url)),
        queue=JobQueue(make_broker(redis_url)),
        rules=registry.load(settings.rules.rule_packs_dir),
        references=ReferenceCache(),
        shutdown=GracefulShutdown(),
    )
