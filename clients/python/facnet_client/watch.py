"""Following a run to its end, over as many connections as it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import grpc

from facnet_client.backoff import Backoff, Retry
from facnet_client.calls import Calls
from facnet_client.convert import update
from facnet_client.errors import FacnetError, ServerError, from_rpc
from facnet_client.values import Status, Update
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2


def watch(
    calls: Calls,
    validation_id: str,
    retry: Retry,
    on_break: Callable[[FacnetError | None], None] | None = None,
    *,
    batch_id: str = "",
) -> Iterator[Update]:
    """Yield the present state at once, every change, and the terminal state, once, as the last.

    With `batch_id` and an empty `validation_id` a batch is followed.

    A broken connection is made again with the last cursor; what would repeat or step back is left out. `on_break` is
    told of the error, and None once the server has answered again. Raises `FacnetError` when the server does not come
    back, or refuses.
    """
    backoff = Backoff(retry)
    tell = on_break or _nobody
    last: Update | None = None
    while True:
        broken: FacnetError = ServerError("INTERNAL", "The server ended the stream before the run.")
        fresh = False
        try:
            for found in _stream(calls, validation_id, batch_id, last.cursor if last else ""):
                backoff.connected()
                tell(None)
                if not fresh and last is not None and _is_old(found, last):
                    continue
                fresh, last = True, found
                backoff.progress()
                yield found
                if found.status.is_terminal:
                    return
        except FacnetError as error:
            if not error.is_passing:
                raise
            broken = error
        tell(broken)
        if not backoff.wait():
            raise broken


def _nobody(_: FacnetError | None) -> None:
    """Hear of it and do nothing."""


def _stream(calls: Calls, validation_id: str, batch_id: str, cursor: str) -> Iterator[Update]:
    request = pb2.WatchValidationRequest(validation_id=validation_id, batch_id=batch_id, after_cursor=cursor)
    call = calls.stub.WatchValidation(request, metadata=calls.metadata)
    try:
        for message in call:
            yield update(message)
    except grpc.RpcError as error:
        raise from_rpc(error) from None
    finally:
        call.cancel()


def _is_old(found: Update, last: Update) -> bool:
    """Whether the first message of a new stream says nothing new, or less than was known before."""
    if found.status.is_terminal:
        return False
    if replace(found, cursor="", eta_seconds=None) == replace(last, cursor="", eta_seconds=None):
        return True
    if found.status is not Status.PROCESSING:
        return False
    return (found.attempt, found.percent) < (last.attempt, last.percent)
