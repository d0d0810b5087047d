"""The server's composition root: builds the parts, opens them in order and closes them in reverse order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from facnet_grpc import health, logs, process
from facnet_grpc.events.stream import EventStream, RedisEvents, connect
from facnet_grpc.health import Page, Readiness
from facnet_grpc.jobs.queue import JobQueue, make_broker
from facnet_grpc.logs import get_logger
from facnet_grpc.notify import url_policy
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.reference.tables import MAX_FILE_BYTES
from facnet_grpc.rules import registry
from facnet_grpc.rules.checks import packs
from facnet_grpc.rules.registry import Registry
from facnet_grpc.server import app as apps
from facnet_grpc.server.access import identity
from facnet_grpc.server.access.limits import RateLimiter
from facnet_grpc.server.dispatch import Dispatcher
from facnet_grpc.server.executors import BackgroundTasks, BlockingExecutor
from facnet_grpc.server.operations.commands import PURGE_SECONDS, Operations
from facnet_grpc.server.operations.service import OperationsService
from facnet_grpc.server.reference.service import ReferenceService
from facnet_grpc.server.results.export import LINES_PER_PAGE, RESULTS_PER_PAGE, Exports
from facnet_grpc.server.results.queries import ResultQueries
from facnet_grpc.server.results.service import ResultService
from facnet_grpc.server.revalidations.commands import Revalidations
from facnet_grpc.server.revalidations.service import RevalidationService
from facnet_grpc.server.rules.service import RuleService
from facnet_grpc.server.runs.commands import RunCommands
from facnet_grpc.server.runs.estimate import CachePolicy, QueueForecast
from facnet_grpc.server.runs.queries import RunQueries
from facnet_grpc.server.runs.service import RunService
from facnet_grpc.server.uploads.commands import BUSY_SECONDS, Uploads
from facnet_grpc.server.uploads.repository import UploadRepository
from facnet_grpc.server.uploads.service import UploadService
from facnet_grpc.server.watching.batch_hub import POLL_SECONDS, BatchHub
from facnet_grpc.server.watching.follower import QUIET_SECONDS
from facnet_grpc.server.watching.hub import WatchHub
from facnet_grpc.server.watching.queries import MAX_DUPLICATES, MAX_PLACES, BatchQueries, SnapshotQueries
from facnet_grpc.server.watching.service import WatchService
from facnet_grpc.settings import Settings
from facnet_grpc.storage import factory
from facnet_grpc.storage.blobs.api import BlobStore
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.texts.catalogue import extend
from facnet_grpc.texts.language import Locale
from facnet_grpc.tracing import Traces

log = get_logger(__name__)

HEALTH_SECONDS = 5.0  # between updates of the gRPC health


@dataclass(frozen=True, slots=True)
class Tuning:
    """Intervals and sizes that are constant in production; tests use smaller ones."""

    upload_busy_seconds: float = BUSY_SECONDS
    watch_quiet_seconds: float = QUIET_SECONDS
    batch_poll_seconds: float = POLL_SECONDS
    purge_seconds: float = PURGE_SECONDS
    forecast_cache: CachePolicy = field(default_factory=CachePolicy)
    max_duplicates: int = MAX_DUPLICATES
    max_duplicate_places: int = MAX_PLACES
    export_lines_per_page: int = LINES_PER_PAGE
    export_results_per_page: int = RESULTS_PER_PAGE
    reference_file_bytes: int = MAX_FILE_BYTES
    grpc_options: Sequence[tuple[str, int]] = apps.OPTIONS


@dataclass(frozen=True, slots=True)
class Resources:
    """The opened resources of a server. Tests build them with their own parts."""

    settings: Settings
    database: Database
    blobs: BlobStore
    events: EventStream
    queue: JobQueue
    redactor: Redactor
    tuning: Tuning = field(default_factory=Tuning)


@dataclass(frozen=True, slots=True)
class Parts:
    """What several features use."""

    resources: Resources
    blocking: BlockingExecutor
    background: BackgroundTasks
    dispatcher: Dispatcher
    forecast: QueueForecast
    rules: Registry
    hub: WatchHub
    batches: BatchQueries
    batch_hub: BatchHub


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    app: apps.App
    hub: WatchHub
    batch_hub: BatchHub
    background: BackgroundTasks

    async def stop(self, grace_seconds: float) -> None:
        """Report NOT_SERVING, refuse new calls, end the watches, and wait `grace_seconds` for the other calls."""
        await self.app.health.enter_graceful_shutdown()
        self.hub.end_watches()
        self.batch_hub.end_watches()
        await self.app.server.stop(grace_seconds)
        await self.background.close()


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Open the resources. PostgreSQL and Redis need not be up yet; the blob directory must exist."""
    async with AsyncExitStack() as stack:
        database = factory.database(settings.storage, "facnet-server")
        stack.enter_context(database)
        redis_url = settings.storage.redis_url.get_secret_value()
        client = connect(redis_url)
        stack.callback(client.close)
        broker = make_broker(redis_url)
        stack.callback(broker.close)
        yield Resources(
            settings=settings,
            database=database,
            blobs=factory.blob_store(settings.storage, database),
            events=RedisEvents(client),
            queue=JobQueue(broker),
            redactor=Redactor.of(settings.storage.pseudonym_keys),
        )


@asynccontextmanager
async def running(resources: Resources) -> AsyncIterator[Running]:
    """Run a server on resources; on exit, calls that still run are cancelled."""
    settings = resources.settings
    async with AsyncExitStack() as stack:
        blocking = BlockingExecutor(settings.server.io_threads)
        stack.callback(blocking.close)
        background = BackgroundTasks()
        stack.push_async_callback(background.close)
        parts = _parts(resources, blocking, background)
        parts.hub.start()
        stack.push_async_callback(parts.hub.close)
        redis_url = settings.storage.redis_url.get_secret_value()
        rate = RateLimiter(redis_url, settings.server.calls_per_minute, settings.server.calls_burst)
        stack.push_async_callback(rate.close)
        access = identity.from_settings(settings.access)
        app = apps.build(_features(parts), settings, access, rate, options=resources.tuning.grpc_options)
        stack.push_async_callback(app.server.stop, 0)
        await apps.serve(app)
        yield Running(app, parts.hub, parts.batch_hub, background)


def _parts(resources: Resources, blocking: BlockingExecutor, background: BackgroundTasks) -> Parts:
    settings, database, tuning = resources.settings, resources.database, resources.tuning
    forecast = QueueForecast(database, settings.queue, tuning.forecast_cache)
    batches = BatchQueries(database, max_duplicates=tuning.max_duplicates, max_places=tuning.max_duplicate_places)
    heartbeat = settings.server.heartbeat_seconds
    return Parts(
        resources=resources,
        blocking=blocking,
        background=background,
        dispatcher=Dispatcher(resources.queue, blocking, background),
        forecast=forecast,
        rules=_rules(settings.rules.rule_packs_dir),
        hub=WatchHub(
            resources.events,
            SnapshotQueries(database, forecast),
            blocking,
            heartbeat_seconds=heartbeat,
            quiet_seconds=tuning.watch_quiet_seconds,
        ),
        batches=batches,
        batch_hub=BatchHub(batches, blocking, heartbeat_seconds=heartbeat, poll_seconds=tuning.batch_poll_seconds),
    )


def _features(parts: Parts) -> tuple[object, ...]:
    """Return the services of all features: together they have the methods of the API."""
    resources, blocking, dispatcher = parts.resources, parts.blocking, parts.dispatcher
    settings, database, redactor = resources.settings, resources.database, resources.redactor
    tuning = resources.tuning
    exports = Exports(
        database,
        lines_per_page=tuning.export_lines_per_page,
        results_per_page=tuning.export_results_per_page,
    )
    run_commands = RunCommands(database, resources.blobs, resources.events)
    operations = Operations(database, run_commands, purge_seconds=tuning.purge_seconds)
    return (
        _uploads(parts),
        RunService(RunQueries(database, parts.forecast), run_commands, dispatcher, blocking),
        WatchService(parts.hub, parts.batch_hub, parts.batches, redactor, blocking),
        ResultService(ResultQueries(database, redactor), exports, redactor, blocking),
        RevalidationService(Revalidations(database, blocking, parts.background, dispatcher), redactor),
        RuleService(parts.rules, blocking),
        ReferenceService(database, blocking, parts.background, max_file_bytes=tuning.reference_file_bytes),
        OperationsService(operations, dispatcher, blocking, settings.schedule),
    )


def _uploads(parts: Parts) -> UploadService:
    resources, settings = parts.resources, parts.resources.settings
    repository = UploadRepository(
        resources.database, resources.blobs, settings.uploads, settings.queue, settings.notify.recipients
    )
    uploads = Uploads(
        repository=repository,
        blobs=resources.blobs,
        blocking=parts.blocking,
        background=parts.background,
        dispatcher=parts.dispatcher,
        settings=settings.uploads,
        busy_seconds=resources.tuning.upload_busy_seconds,
    )
    check_webhook = partial(url_policy.check, settings=settings.notify)
    return UploadService(uploads, parts.rules, check_webhook, idle_seconds=settings.uploads.upload_idle_seconds)


def _rules(folder: Path | None) -> Registry:
    """Load the rules, and add the texts of their packs to the catalogues."""
    rules = registry.load(folder)
    for locale in Locale:
        extend(locale, packs.entries(locale.value, folder))
    return rules


async def serve(settings: Settings) -> None:
    """Run the server until SIGTERM or SIGINT. Raises `OSError` if an address is taken."""
    stop = asyncio.Event()
    _on_signals(stop.set)
    async with AsyncExitStack() as stack:
        traces = Traces(settings.process.otlp_endpoint, "facnet-server")
        traces.open()
        stack.callback(traces.close)
        resources = await stack.enter_async_context(open_resources(settings))
        readiness = health.of(settings.storage, resources.database)
        if settings.process.metrics_listen:
            stack.callback(_metrics_page(settings.process.metrics_listen, readiness).close)
        server = await stack.enter_async_context(running(resources))
        log.info("server_started", port=server.app.port)
        stack.callback(asyncio.create_task(_update_health(server.app, readiness)).cancel)
        await stop.wait()
        log.info("server_stopping")
        readiness.stop()
        await server.stop(settings.process.shutdown_seconds)
    log.info("server_stopped")


def run(settings: Settings) -> None:
    """Configure logging and run the server."""
    logs.configure(settings.process.log_level, settings.process.log_format)
    process.disable_core_dumps()
    asyncio.run(serve(settings))


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    seen: set[signal.Signals] = set()

    def handle(number: signal.Signals) -> None:
        if seen:  # a second signal exits at once: no accepted file depends on an orderly shutdown
            os._exit(128 + number)
        seen.add(number)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle, number)


async def _update_health(app: apps.App, readiness: Readiness) -> None:
    """Keep the gRPC health of the services up to date: clients and proxies send their calls elsewhere then."""
    while True:
        await apps.set_health(app, ready=await asyncio.to_thread(readiness.is_ready))
        await asyncio.sleep(HEALTH_SECONDS)


def _metrics_page(listen: str, readiness: Readiness) -> Page:
    host, _, port = listen.rpartition(":")
    try:
        return Page(host.strip("[]"), int(port), readiness)
    except (OSError, ValueError, OverflowError):
        raise OSError(f"FACNET_METRICS_LISTEN: cannot listen on {listen}") from None
