"""A server of the product in a thread of its own, and what the tests of it have in common."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub
from facnet_grpc.server.main import Resources, Running, running

NOWHERE = "redis://127.0.0.1:1/0"  # a port that nobody listens on
KEY = "k" * 32


class Server:
    """A server that runs until `stop`; what tests look at and break is public."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.database = resources.database
        self.blobs = resources.blobs
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
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def stop(self) -> None:
        """End it."""
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
    return UUID(server.stub.SubmitValidation(messages(data, **header), timeout=10).validation_id)


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
