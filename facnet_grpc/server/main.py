"""The server's composition root: builds everything by hand, opens it in order, closes it in reverse."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from facnet_grpc import health, logs, process
from facnet_grpc.events.stream import EventStream, RedisEvents, connect
from facnet_grpc.gen.facnet.v1.operations_service_pb2_grpc import add_OperationsServiceServicer_to_server
from facnet_grpc.gen.facnet.v1.reference_service_pb2_grpc import add_ReferenceServiceServicer_to_server
from facnet_grpc.gen.facnet.v1.rule_service_pb2_grpc import add_RuleServiceServicer_to_server
from facnet_grpc.health import Page, Readiness
from facnet_grpc.jobs.queue import JobQueue, make_broker
from facnet_grpc.logs import get_logger
from facnet_grpc.notify import url_policy
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.rules import checks, registry
from facnet_grpc.server import app as apps
from facnet_grpc.server.access import identity
from facnet_grpc.server.access.limits import RateLimiter
from facnet_grpc.server.dispatch import Dispatcher
from facnet_grpc.server.executors import BackgroundTasks, BlockingExecutor
from facnet_grpc.server.operations.commands import Operations
from facnet_grpc.server.operations.service import OperationsService
from facnet_grpc.server.reference.service import ReferenceService
from facnet_grpc.server.results.export import Exports
from facnet_grpc.server.results.queries import RowQueries
from facnet_grpc.server.revalidations.queries import Revalidations
from facnet_grpc.server.rules.service import RuleService
from facnet_grpc.server.runs.commands import RunCommands
from facnet_grpc.server.runs.estimate import QueueForecast
from facnet_grpc.server.runs.queries import RunQueries
from facnet_grpc.server.runs.service import ValidationService
from facnet_grpc.server.uploads.commands import Uploads
from facnet_grpc.server.uploads.repository import UploadLimits, UploadRepository
from facnet_grpc.server.watching.batches import Batches
from facnet_grpc.server.watching.follower import QUIET_SECONDS
from facnet_grpc.server.watching.hub import WatchHub
from facnet_grpc.settings import Settings
from facnet_grpc.storage import factory
from facnet_grpc.storage.blobs.api import BlobStore
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.texts.catalogue import extend
from facnet_grpc.texts.language import Locale
from facnet_grpc.tracing import Traces

log = get_logger(__name__)

HEALTH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Resources:
    """What the server stands on, ready for use. Tests build the same with parts of their own."""

    settings: Settings
    database: Database
    blobs: BlobStore
    events: EventStream
    queue: JobQueue
    redactor: Redactor
    quiet_seconds: float = QUIET_SECONDS  # of a watched run, before it is read from PostgreSQL


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    app: apps.App
    hub: WatchHub
    batches: Batches
    background: BackgroundTasks

    async def stop(self, grace_seconds: float) -> None:
        """Say that it ends, take nothing new, end the watches, and give the other calls `grace_seconds`."""
        await self.app.health.enter_graceful_shutdown()
        self.hub.end_watches()
        self.batches.end_watches()
        await self.app.server.stop(grace_seconds)
        await self.background.close()


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Open what the server stands on. None of it has to be up yet, save the directory of the blobs."""
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
    """Run a server on resources; on leaving, whatever it still does is cut short."""
    settings = resources.settings
    async with AsyncExitStack() as stack:
        blocking = BlockingExecutor(settings.server.io_threads)
        stack.callback(blocking.close)
        background = BackgroundTasks()
        stack.push_async_callback(background.close)
        rules = _rules(settings.rules.rule_packs_dir)
        reads = RunQueries(resources.database, resources.redactor, QueueForecast(resources.database, settings.queue))
        hub = WatchHub(
            resources.events,
            reads,
            blocking,
            heartbeat_seconds=settings.server.heartbeat_seconds,
            quiet_seconds=resources.quiet_seconds,
        )
        hub.start()
        batches = Batches(resources.database, blocking, heartbeat_seconds=settings.server.heartbeat_seconds)
        stack.push_async_callback(hub.close)
        dispatcher = Dispatcher(resources.queue, blocking, background)
        limits = UploadLimits(
            max_file=settings.uploads.max_file_bytes,
            max_chunk=settings.uploads.max_chunk_bytes,
            max_open=settings.uploads.max_open_uploads,
            max_unfinished=settings.queue.most_unfinished,
            large_file=settings.queue.large_file_bytes,
            ttl_seconds=settings.uploads.upload_ttl_seconds,
        )
        uploads = Uploads(
            ledger=UploadRepository(resources.database, resources.blobs, limits, settings.notify.recipients),
            blobs=resources.blobs,
            blocking=blocking,
            background=background,
            dispatcher=dispatcher,
            limits=limits,
        )
        control = RunCommands(resources.database, resources.blobs, resources.events)
        service = ValidationService(
            rules=rules,
            uploads=uploads,
            hub=hub,
            reads=reads,
            redactor=resources.redactor,
            blocking=blocking,
            idle_seconds=settings.uploads.upload_idle_seconds,
            control=control,
            dispatcher=dispatcher,
            lines=RowQueries(resources.database),
            exports=Exports(resources.database),
            revalidations=Revalidations(resources.database, blocking, background, dispatcher),
            batches=batches,
            check_webhook=partial(url_policy.check, settings=settings.notify),
        )
        redis_url = settings.storage.redis_url.get_secret_value()
        rate = RateLimiter(redis_url, settings.server.calls_per_minute, settings.server.calls_burst)
        stack.push_async_callback(rate.close)
        others = (
            partial(add_RuleServiceServicer_to_server, RuleService(rules, blocking)),
            partial(add_ReferenceServiceServicer_to_server, ReferenceService(resources.database, blocking, background)),
            partial(
                add_OperationsServiceServicer_to_server,
                OperationsService(Operations(resources.database, control), dispatcher, blocking, settings.schedule),
            ),
        )
        app = apps.build(service, settings, identity.from_settings(settings.access), rate, others)
        stack.push_async_callback(app.server.stop, 0)
        await apps.serve(app)
        yield Running(app, hub, batches, background)


def _rules(folder: Path | None) -> registry.Registry:
    """Read the rules, and give their packs' texts to those who write results."""
    rules = registry.load(folder)
    for locale in Locale:
        extend(locale, checks.entries(locale.value, [folder] if folder else []))
    return rules


async def serve(settings: Settings) -> None:
    """Run the server until a signal says to stop. Raises `OSError` if an address is taken."""
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
        telling = asyncio.create_task(_tell_health(server.app, readiness))
        stack.callback(telling.cancel)
        await stop.wait()
        log.info("server_stopping")
        readiness.stop()
        await server.stop(settings.process.shutdown_seconds)
    log.info("server_stopped")


def run(settings: Settings) -> None:
    """Configure logging and run the server."""
    logs.configure(settings.process.log_level, settings.process.log_format)
    process.forbid()
    asyncio.run(serve(settings))


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    seen: set[signal.Signals] = set()

    def take(number: signal.Signals) -> None:
        if seen:  # somebody is in a hurry; nothing that was promised depends on an orderly end
            os._exit(128 + number)
        seen.add(number)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, take, number)


async def _tell_health(app: apps.App, readiness: Readiness) -> None:
    """Say over gRPC, for each service, whether it can work: clients and proxies then send their calls elsewhere."""
    while True:
        await apps.tell(app, ready=await asyncio.to_thread(readiness.is_ready))
        await asyncio.sleep(HEALTH_SECONDS)


def _metrics_page(listen: str, readiness: Readiness) -> Page:
    host, _, port = listen.rpartition(":")
    try:
        return Page(host.strip("[]"), int(port), readiness)
    except (OSError, ValueError, OverflowError):
        raise OSError(f"FACNET_METRICS_LISTEN: cannot listen on {listen}") from None
