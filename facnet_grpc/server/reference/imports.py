"""From a stream of reference files to a new version: read whole, checked whole, stored whole, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from facnet_grpc.calendar import day_in_quebec
from facnet_grpc.errors import InvalidInput, LimitExceeded, Reason, TransientError
from facnet_grpc.gen.facnet.v1 import reference_service_pb2 as pb
from facnet_grpc.model.reference import ReferenceChanges, ReferenceKind, ReferenceVersion
from facnet_grpc.server import request_fields
from facnet_grpc.server.reference.proto import KINDS
from facnet_grpc.storage.postgres import reference
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.storage.postgres.reference import MAX_FILE_BYTES, STATEMENT_SECONDS, ReferenceFile

MAX_SOURCE = 300
IDLE_SECONDS = 60.0
SETTLE_SECONDS = 0.01


@dataclass(slots=True)
class _Incoming:
    """A file that is being sent."""

    kind: ReferenceKind
    source: str
    data: bytearray = field(default_factory=bytearray)


async def receive(messages: AsyncIterator[pb.ImportReferenceRequest]) -> list[ReferenceFile]:
    """Return the files of a stream, at most one of each kind.

    Raises `InvalidInput`, `LimitExceeded` (FILE_TOO_LARGE), `TransientError` if the client falls silent.
    """
    files: dict[ReferenceKind, _Incoming] = {}
    present: _Incoming | None = None
    while (message := await _next(messages)) is not None:
        if message.WhichOneof("message") == "header":
            present = _begin(message.header)
            if files.setdefault(present.kind, present) is not present:
                request_fields.refuse("header.kind")
        elif present is None:
            raise InvalidInput(Reason.HEADER_REQUIRED, field="header")
        else:
            present.data += message.data
            if len(present.data) > MAX_FILE_BYTES:
                raise LimitExceeded(Reason.FILE_TOO_LARGE, max_bytes=MAX_FILE_BYTES)
    # A stream that broke may look ended for a moment, before this task is cancelled.
    await asyncio.sleep(SETTLE_SECONDS)
    if not files:
        raise InvalidInput(Reason.HEADER_REQUIRED, field="header")
    return [ReferenceFile(one.kind, one.source, bytes(one.data)) for one in files.values()]


def store(database: Database, files: Sequence[ReferenceFile]) -> tuple[ReferenceVersion, ReferenceChanges]:
    """Read the files and make them the version in force. Blocks. Raises `InvalidInput` (BAD_REFERENCE_FILE)."""
    parts = reference.read(files)
    with database.connection(statement_timeout=STATEMENT_SECONDS) as conn:
        return reference.store(conn, files, parts, day_in_quebec(datetime.now(UTC)))


def _begin(header: pb.ReferenceFileHeader) -> _Incoming:
    kind = request_fields.one_of("header.kind", header.kind, KINDS)
    return _Incoming(kind, request_fields.optional_text("header.source", header.source, most=MAX_SOURCE) or "")


async def _next(messages: AsyncIterator[pb.ImportReferenceRequest]) -> pb.ImportReferenceRequest | None:
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            return await anext(messages, None)
    except TimeoutError:
        raise TransientError(Reason.DEADLINE_EXCEEDED) from None
