"""Many who watch at once: how soon they hear of an event, and what each costs the server.

The workers stand still; events are published from here as a worker publishes them. The watchers are tasks of this
process, so that a part of the time is theirs.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import grpc
import psycopg

from benchmarks import processes
from benchmarks.figures import Figure
from benchmarks.queueing import LINES, TENANTS, at_percent, standing_still
from benchmarks.stack import Stack
from facnet_client import FacnetClient
from facnet_grpc.events.stream import RedisEvents, RunEvent, connect
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.run_progress_pb2 import RunProgress
from facnet_grpc.gen.facnet.v1.validation_pb2 import VALIDATION_PHASE_LOADING
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub
from facnet_grpc.model.run import RunStatus
from facnet_grpc.sample.writer import write_sample

CHANNELS = 10
WATCHERS_OF_A_RUN = 10
PAUSE_SECONDS = 0.05
SETTLE_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
OWNER = TENANTS[0]

_CLAIM = """
    UPDATE validation_runs SET status = 'PROCESSING', attempt = 1, started_at = now(),
        lease_token = gen_random_uuid(), lease_expires_at = now() + interval '1 hour'
    WHERE status = 'QUEUED'
"""


@dataclass
class Heard:
    """When which percentage of which run was published, and when each watcher heard of it."""

    published: dict[tuple[str, float], float] = field(default_factory=dict)
    received: dict[tuple[str, float], list[float]] = field(default_factory=lambda: defaultdict(list))

    def milliseconds(self) -> list[float]:
        """Return how long each watcher waited for each event, shortest first."""
        return sorted((at - self.published[event]) * 1000 for event, times in self.received.items() for at in times)


def figures(stack: Stack, folder: Path, watchers: int, events: int) -> list[Figure]:
    """Measure `watchers` watchers of a tenth as many runs, and `events` events of these."""
    file = folder / "watched.csv"
    write_sample(LINES, file)
    with standing_still(stack), FacnetClient(stack.target, token=OWNER) as client:
        runs = [client.submit(file).validation_id for _ in range(max(1, watchers // WATCHERS_OF_A_RUN))]
        with psycopg.connect(stack.database_url) as conn:
            conn.execute(_CLAIM)
        return asyncio.run(_watch(stack, runs, watchers, events))


async def _watch(stack: Stack, runs: list[str], watchers: int, events: int) -> list[Figure]:
    heard, ready = Heard(), asyncio.Semaphore(0)
    channels = [
        grpc.aio.insecure_channel(stack.target, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(CHANNELS)
    ]
    for channel in channels:
        await channel.channel_ready()
    before, began = processes.resident_kib(stack.server.pid), time.perf_counter()
    tasks = [
        asyncio.create_task(_follow(channels[number % CHANNELS], runs[number % len(runs)], heard, ready))
        for number in range(watchers)
    ]
    for _ in tasks:
        await asyncio.wait_for(ready.acquire(), PATIENCE_SECONDS)
    opening = time.perf_counter() - began
    await asyncio.sleep(SETTLE_SECONDS)
    held = processes.resident_kib(stack.server.pid) - before
    await asyncio.to_thread(_publish, stack, runs, events, heard)
    expected = events * watchers // len(runs)
    await asyncio.sleep(SETTLE_SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for channel in channels:
        await channel.close()
    times = heard.milliseconds()
    name = f"{watchers:,} watchers of {len(runs)} runs, published to heard"
    return [
        Figure(f"{watchers:,} watches opened at once: until all have heard", opening, "s"),
        Figure(f"{name}: median of {len(times):,}", statistics.median(times), "ms"),
        Figure(f"{name}: 99 of 100", at_percent(times, 99), "ms"),
        Figure("heard ÷ to be heard", len(times) / expected, at_least=1),
        Figure("memory of the server for each watcher", held / watchers, "KiB"),
    ]


async def _follow(channel: grpc.aio.Channel, run_id: str, heard: Heard, ready: asyncio.Semaphore) -> None:
    request = pb.WatchValidationRequest(validation_id=run_id)
    is_first = True
    async for message in ValidationServiceStub(channel).WatchValidation(
        request, metadata=(("authorization", f"Bearer {OWNER}"),)
    ):
        event = (run_id, message.progress.percent)
        if event in heard.published:
            heard.received[event].append(time.perf_counter())
        if is_first:
            ready.release()
            is_first = False


def _publish(stack: Stack, runs: list[str], events: int, heard: Heard) -> None:
    with connect(stack.variables["REDIS_URL"]) as client:
        stream = RedisEvents(client)
        for number in range(events):
            run_id, percent = runs[number % len(runs)], 1.0 + number // len(runs)
            heard.published[run_id, percent] = time.perf_counter()
            progress = RunProgress(attempt=1, phase=VALIDATION_PHASE_LOADING, percent=percent)
            stream.publish(RunEvent(UUID(run_id), RunStatus.PROCESSING, progress))
            time.sleep(PAUSE_SECONDS)
