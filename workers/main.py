"""Composes a worker process: `dramatiq workers.main:setup --processes 2 --threads 1`.

Dramatiq calls `setup` in each of its processes after forking them: the parent never imports what starts threads
(pyarrow, OpenSSL), so no process inherits a half-made one. Connections and threads are made when the worker boots.
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
from facnet_grpc.storage import factory
from facnet_grpc.storage.postgres import locks
from facnet_grpc.tracing import Traces
from workers import actors, broker
from workers.heartbeat import BEAT_SECONDS, WorkerHeartbeat
from workers.middleware.metrics import MetricsPage
from workers.notifier import Notifier
from workers.periodic.key_rotation import KeyRotation
from workers.periodic.reconcile import MESSAGE_SECONDS, Reconciler
from workers.periodic.reference_refresh import NAME as REFERENCE
from workers.periodic.reference_refresh import ReferenceRefresh
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
    """Make this process a worker: set dramatiq's broker and declare the actors, or raise `SystemExit`."""
    try:
        settings = Settings.from_env()
        logs.configure(settings.process.log_level, settings.process.log_format)
        process.disable_core_dumps()
        configure_malloc()
        dramatiq.set_broker(assemble(settings))
        warmup(registry.load(settings.rules.rule_packs_dir))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(CANNOT_START) from None
    except FacnetError as error:
        sys.stderr.write(f"FACNET_BLOB_DIR: cannot be used ({error}).\n")
        raise SystemExit(CANNOT_START) from None


def assemble(settings: Settings, *, message_seconds: float = MESSAGE_SECONDS) -> RedisBroker:
    """Return a worker's broker with everything behind it; nothing is connected yet.

    After `message_seconds` the message of a run counts as lost. Raises `FacnetError` if the directory of the files
    cannot be made.
    """
    resources = make_resources(settings)
    database = resources.database
    revalidator = Revalidator(resources)
    notifier = Notifier(settings.notify, database)
    heartbeat = WorkerHeartbeat(database, threads=settings.worker.worker_threads, run_ids=resources.active_runs.run_ids)
    worker_broker: RedisBroker
    reconciler = Reconciler(
        settings.queue,
        database,
        resources.queue,
        count_messages=lambda: broker.count_messages(worker_broker),
        on_change=partial(finalize.publish_change, resources),
        message_seconds=message_seconds,
    )
    scheduler = Scheduler(
        database,
        periodic_jobs(
            resources,
            reconcile_steps=(
                *reconciler.steps,
                heartbeat.remove_expired,
                revalidator.enqueue_next,
                revalidator.delete_expired,
                notifier.delete_old,
            ),
        ),
        ((heartbeat.beat, BEAT_SECONDS), (reconciler.update_metrics, settings.schedule.reconcile_seconds)),
    )
    components = (
        Traces(settings.process.otlp_endpoint, "facnet-worker"),
        database,
        MetricsPage(settings.process.metrics_listen, health.of(settings.storage, database)),
        heartbeat,
        scheduler,
        notifier,
    )
    request_shutdown = partial(resources.shutdown.request, settings.process.shutdown_seconds)
    worker_broker = broker.make(settings.storage.redis_url.get_secret_value(), components, request_shutdown)
    actors.declare(worker_broker, partial(validate, resources))
    actors.declare_revalidation(worker_broker, revalidator.run)
    return worker_broker


def periodic_jobs(resources: Resources, *, reconcile_steps: Sequence[Step] = ()) -> list[PeriodicJob]:
    """Return all periodic jobs; the reference files are refreshed only if a folder is configured."""
    settings, database = resources.settings.schedule, resources.database
    retention = Retention(
        database,
        resources.blobs,
        failed_blob_seconds=settings.failed_blob_seconds,
        retention_days=settings.retention_days,
    )
    key_rotation = KeyRotation(database, resources.settings.storage.blob_keys)
    schedules, folder = settings.job_schedules, settings.reference_refresh_dir
    jobs = [
        PeriodicJob("reconcile", schedules["reconcile"], locks.RECONCILER, reconcile_steps),
        PeriodicJob("retention", schedules["retention"], locks.RETENTION, (*retention.steps, key_rotation.run)),
    ]
    if folder is not None:
        refresh = ReferenceRefresh(database, folder)
        jobs.append(PeriodicJob(REFERENCE, schedules[REFERENCE], locks.REFRESH, (refresh.run,)))
    return jobs


def make_resources(settings: Settings) -> Resources:
    """Return what attempts need; the database is not open yet."""
    redis_url = settings.storage.redis_url.get_secret_value()
    # A worker that freezes in a transaction must release its locks as soon as it would lose its lease.
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
