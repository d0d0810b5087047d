"""A server of the product in a thread of its own, and what the tests of it have in common."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import Any, cast
from uuid import UUID

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from hooks import HookedBlobs, HookedDatabase

from facnet_grpc.errors import FacnetError
from facnet_grpc.events.stream import RunEvent
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.run_progress_pb2 import RunProgress
from facnet_grpc.gen.facnet.v1.validation_pb2 import VALIDATION_PHASE_LOADING
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub
from facnet_grpc.model.run import Claim, RunStatus, SeverityCounts
from facnet_grpc.model.summary import Summary
from facnet_grpc.server.main import Resources, Running, running
from facnet_grpc.storage.postgres import leases

NOWHERE = "redis://127.0.0.1:1/0"  # a port that nobody listens on
KEY = "k" * 32


class Server:
    """A server that runs until `stop`; what tests look at and break is public."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.hooked_database = cast("HookedDatabase", resources.database)
        self.database = self.hooked_database.real  # for the test itself
        self.blobs = cast("HookedBlobs", resources.blobs)
        self.running: Running
        self.loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        self._ready.result(10)
        self.target = f"127.0.0.1:{self.running.app.port}"
        self.channel = grpc.insecure_channel(self.target)
        self.stub = ValidationServiceStub(self.channel)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            async with AsyncExitStack() as stack:
                self.running = await stack.enter_async_context(running(self.resources))
                self._ready.set_result(None)
                await self._stop.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    def do(self, work: Any) -> Any:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def stop(self) -> None:
        """End it; again is no trouble."""
        if not self._thread.is_alive():
            return
        self.channel.close()
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()


def messages(data: bytes, *, offset: int = 0, size: int = 1000, **header: Any) -> Iterator[pb.SubmitValidationRequest]:
    """An upload of `data` from `offset` on, in chunks of `size`."""
    yield pb.SubmitValidationRequest(header=pb.UploadHeader(**{"file_name": "claims.csv", **header}))
    for start in range(offset, len(data), size):
        chunk = data[start : start + size]
        yield pb.SubmitValidationRequest(chunk=pb.UploadChunk(offset=start, data=chunk))


def submit(server: Server, data: bytes = b"some,claims\n1,2\n", **header: Any) -> UUID:
    """Submit a file and return its run's id."""
    return UUID(server.stub.SubmitValidation(messages(data, **header), timeout=30).validation_id)


def eventually(check: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait for a check to be true, and return what it says."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


def assert_well(server: Server) -> None:
    """The server says that it serves, and has nothing left to do."""
    check = health_pb2.HealthCheckRequest(service="facnet.v1.ValidationService")
    with grpc.insecure_channel(server.target) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(check, timeout=20)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    eventually(lambda: server.running.background.is_idle)


class Worker:
    """Does to a run what a worker does, one step at a time."""

    def __init__(self, server: Server, run_id: UUID) -> None:
        self._server = server
        self.run_id = run_id
        self.claim: Claim

    def start(self) -> Worker:
        with self._server.database.connection() as conn:
            claim = leases.claim(conn, self.run_id, lease_seconds=30, max_attempts=3)
        assert claim
        self.claim = claim
        return self

    def say(self, percent: float, **figures: Any) -> None:
        """Publish an event, and nothing else."""
        attempt = self.claim.run.attempt
        progress = RunProgress(attempt=attempt, phase=VALIDATION_PHASE_LOADING, percent=percent, **figures)
        self._server.resources.events.publish(RunEvent(self.run_id, RunStatus.PROCESSING, progress))

    def store(self, percent: float, **figures: Any) -> None:
        """Store progress, and publish nothing."""
        with self._server.database.connection() as conn:
            leases.extend(conn, self.claim, {"phase": "LOADING", "percent": percent, **figures}, lease_seconds=30)

    def release(self) -> None:
        with self._server.database.connection() as conn:
            leases.release(conn, self.claim, delay_seconds=0, count_attempt=True)
        self._say_ended(RunStatus.QUEUED)

    def complete(self, *, tell: bool = True, summary: Summary | None = None, rejected_rows: int = 0) -> None:
        with self._server.database.connection() as conn:
            leases.complete(
                conn,
                self.claim,
                summary=summary or Summary(),
                counts=SeverityCounts(error=1),
                total_rows=10,
                processed_rows=10 - rejected_rows,
                rejected_rows=rejected_rows,
                rule_set_version="r1",
                reference_version="v1",
            )
        if tell:
            self._say_ended(RunStatus.COMPLETED)

    def fail(self, error: FacnetError) -> None:
        with self._server.database.connection() as conn:
            leases.fail(conn, self.claim, error)
        self._say_ended(RunStatus.FAILED)

    def _say_ended(self, status: RunStatus) -> None:
        self._server.resources.events.publish(RunEvent(self.run_id, status))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Refusal:
    """What a client can read from a failed call."""

    def __init__(self, error: grpc.RpcError) -> None:
        self.code = error.code()
        self.message = error.details()
        self.trailers = dict(error.trailing_metadata())
        self.details: dict[str, Any] = {}
        self.texts: list[error_details_pb2.LocalizedMessage] = []
        for packed in rpc_status.from_call(error).details:
            kind = packed.TypeName().removeprefix("google.rpc.")
            detail = getattr(error_details_pb2, kind)()
            packed.Unpack(detail)
            if kind == "LocalizedMessage":
                self.texts.append(detail)
            else:
                self.details[kind] = detail

    @property
    def reason(self) -> str:
        return self.details["ErrorInfo"].reason

    @property
    def params(self) -> dict[str, str]:
        return dict(self.details["ErrorInfo"].metadata)


def refused(call: Callable[[], Any]) -> Refusal:
    """Make a call that must fail, and return how."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return Refusal(caught.value)
