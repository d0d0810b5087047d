"""PostgreSQL goes away in the middle of things and comes back: nothing is lost, and callers are told to wait."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from serving import Server, messages, refused, sha256, submit

from facnet_client import FacnetClient, Retry
from facnet_grpc.errors import TransientError
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.storage.postgres import runs

DATA = os.urandom(700_000)


class Switch:
    """Takes PostgreSQL away from the server, and gives it back."""

    def __init__(self, server: Server) -> None:
        self.away = False
        server.hooked_database.before_connection = self._check

    def _check(self) -> None:
        if self.away:
            raise TransientError


@pytest.fixture
def switch(server: Server) -> Switch:
    return Switch(server)


def parts(server: Server) -> list[int]:
    return [part.size_bytes for part in server.blobs.parts()]


def halfway(data: bytes, then: Callable[[], None], **header: Any) -> Iterator[pb.SubmitValidationRequest]:
    """An upload during which something happens."""
    requests = list(messages(data, size=100_000, **header))
    yield from requests[:4]
    then()
    yield from requests[4:]


def test_an_upload_that_cannot_be_finished_is_kept_and_gone_on_with(server: Server, switch: Switch) -> None:
    upload_id = uuid4()

    def take_away() -> None:
        deadline = time.monotonic() + 30
        while not any(parts(server)):
            assert time.monotonic() < deadline
        switch.away = True

    requests = halfway(DATA, take_away, upload_id=str(upload_id), idempotency_key="k")
    refusal = refused(lambda: server.stub.SubmitValidation(requests, timeout=20))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")
    assert refusal.details["RetryInfo"].retry_delay.seconds > 0
    switch.away = False
    stored = server.stub.GetUpload(pb.GetUploadRequest(upload_id=str(upload_id))).committed_bytes
    assert stored == len(DATA)
    rest = messages(DATA, offset=stored, upload_id=str(upload_id), idempotency_key="k", sha256=sha256(DATA))
    run_id = UUID(server.stub.SubmitValidation(rest, timeout=20).validation_id)
    with server.database.connection() as conn:
        key = runs.get(conn, run_id).blob_key
    with server.blobs.open(key) as file:
        assert file.read() == DATA
    assert parts(server) == []


def test_the_client_waits_for_it(server: Server, switch: Switch) -> None:
    switch.away = True
    told: list[bool] = []

    def on_break(error: object) -> None:
        told.append(error is None)
        if len(told) == 1:
            threading.Timer(0.5, lambda: setattr(switch, "away", False)).start()

    retry = Retry(connect=30, patience=60, first_delay=0.05, largest_delay=0.2)
    with FacnetClient(server.target, retry=retry) as client:
        assert client.submit(io.BytesIO(DATA), on_break=on_break).validation_id
    assert (told[0], told[-1]) == (False, True)


@pytest.mark.parametrize("call", ["Submit", "Get", "Cancel", "Retry", "Delete"])
def test_every_call_says_that_it_is_worth_waiting(server: Server, switch: Switch, call: str) -> None:
    run_id = submit(server)
    switch.away = True

    def ask() -> object:
        if call == "Submit":
            return server.stub.SubmitValidation(messages(b"a,b\n"), timeout=10)
        request = getattr(pb, f"{call}ValidationRequest")(validation_id=str(run_id))
        return getattr(server.stub, f"{call}Validation")(request, timeout=10)

    refusal = refused(ask)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")
    assert "RetryInfo" in refusal.details
    switch.away = False


def test_a_pool_that_is_used_up_is_a_passing_trouble(server: Server) -> None:
    run_id = submit(server)
    server.hooked_database.options = {"timeout": 0.2}
    held = [server.database.connection() for _ in range(8)]  # all that there are
    for one in held:
        one.__enter__()
    try:
        request = pb.GetValidationRequest(validation_id=str(run_id))
        refusal = refused(lambda: server.stub.GetValidation(request, timeout=10))
    finally:
        for one in held:
            one.__exit__(None, None, None)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")
    assert "RetryInfo" in refusal.details
