"""Following a run or a batch to its end, over as many connections as it takes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from itertools import dropwhile

from facnet_client.connection import Connection, Metadata
from facnet_client.errors import FacnetError, ServerError
from facnet_client.retry import Backoff
from facnet_client.values import Update
from facnet_grpc.gen.facnet.v1 import validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2

#: Called with what broke the connection when it is about to be made again, and with None once it is.
OnBreak = Callable[[FacnetError | None], None]


def watch(
    connection: Connection,
    request: pb2.WatchValidationRequest,
    backoff: Backoff,
    *,
    on_break: OnBreak | None = None,
    metadata: Metadata = (),
) -> Iterator[Update]:
    """Yield the present state at once, every change, and the terminal state, once, as the last.

    A broken connection is made again with the last cursor; what would repeat or step back is left out. Raises
    `FacnetError` when the server does not come back, or refuses.
    """
    report = on_break or _ignore
    last: pb2.WatchValidationResponse | None = None
    while True:
        broken: FacnetError = ServerError("INTERNAL", "The server ended the stream before the run.")
        try:
            with closing(_stream(connection, request, backoff, report, metadata)) as messages:
                for message in dropwhile(partial(_is_old, last), messages):
                    last = message
                    request.after_cursor = message.cursor
                    backoff.progress()
                    yield (update := Update.from_message(message))
                    if update.status.is_terminal:
                        return
        except FacnetError as error:
            if not error.is_retryable:
                raise
            broken = error
        report(broken)
        if not backoff.wait():
            raise broken


def _ignore(_: FacnetError | None) -> None:
    """Do nothing."""


def _stream(
    connection: Connection,
    request: pb2.WatchValidationRequest,
    backoff: Backoff,
    report: OnBreak,
    metadata: Metadata,
) -> Generator[pb2.WatchValidationResponse, None, None]:
    """Yield what one stream brings. Raises `FacnetError`."""
    method = connection.stub.WatchValidation
    with closing(connection.stream(method, request, timeout=backoff.remaining, metadata=metadata)) as messages:
        for number, message in enumerate(messages):
            if number:  # the connection lived: being cut now and then must not use up the patience of a quiet run
                backoff.progress()
            else:
                backoff.connected()
            report(None)
            yield message


def _is_old(last: pb2.WatchValidationResponse | None, found: pb2.WatchValidationResponse) -> bool:
    """Whether a message of a new stream says nothing new, or less than was known before."""
    if last is None or Update.from_message(found).status.is_terminal:
        return False
    if _comparable(found) == _comparable(last):
        return True
    if found.status != validation_pb2.VALIDATION_STATUS_PROCESSING:
        return False
    return (found.progress.attempt, found.progress.percent) < (last.progress.attempt, last.progress.percent)


def _comparable(message: pb2.WatchValidationResponse) -> pb2.WatchValidationResponse:
    """Return a copy without what changes by itself."""
    copy = pb2.WatchValidationResponse()
    copy.CopyFrom(message)
    copy.ClearField("cursor")
    copy.ClearField("eta")
    return copy
