"""From a stream of reference files to a new version: read whole, checked whole, stored whole, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from facnet_grpc.errors import InvalidInput, LimitExceeded, Reason, TransientError
from facnet_grpc.gen.facnet.v1 import reference_service_pb2 as pb
from facnet_grpc.model.reference import ReferenceChanges, ReferenceKind, ReferenceVersion
from facnet_grpc.reference import tables
from facnet_grpc.rules.registry import day_in_quebec
from facnet_grpc.server import fields
from facnet_grpc.server.convert_reference import KINDS
from facnet_grpc.storage.postgres import reference
from facnet_grpc.storage.postgres.pool import Database

MAX_FILE_BYTES = 16 << 20  # the shipped codes take 0.4 MB
MAX_SOURCE = 300
IDLE_SECONDS = 60.0
SETTLE_SECONDS = 0.01
STATEMENT_SECONDS = 60.0


@dataclass(slots=True)
class ReferenceFile:
    """A file as it was sent."""

    kind: ReferenceKind
    source: str
    data: bytearray = field(default_factory=bytearray)


async def receive(messages: AsyncIterator[pb.ImportReferenceRequest]) -> list[ReferenceFile]:
    """Return the files of a stream, at most one of each kind.

    Raises `InvalidInput`, `LimitExceeded` (FILE_TOO_LARGE), `TransientError` if the client falls silent.
    """
    files: dict[ReferenceKind, ReferenceFile] = {}
    present: ReferenceFile | None = None
    while (message := await _next(messages)) is not None:
        if message.WhichOneof("message") == "header":
            present = _begin(message.header)
            if files.setdefault(present.kind, present) is not present:
                fields.refuse("header.kind")
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
    return list(files.values())


def store(database: Database, files: list[ReferenceFile]) -> tuple[ReferenceVersion, ReferenceChanges]:
    """Read the files and make them the version in force. Blocks. Raises `InvalidInput` (BAD_REFERENCE_FILE)."""
    parts: Mapping[str, tables.Part] = {one.kind.value: tables.read(one.kind, bytes(one.data)) for one in files}
    source = "; ".join(f"{one.kind}: {one.source}" if one.source else one.kind.value for one in files)
    today = day_in_quebec(datetime.now(UTC))
    with database.connection(statement_timeout=STATEMENT_SECONDS) as conn:
        return reference.adopt(conn, parts, source=source, day=today)


def _begin(header: pb.ReferenceFileHeader) -> ReferenceFile:
    kind = fields.one_of("header.kind", header.kind, KINDS)
    return ReferenceFile(kind, fields.optional_text("header.source", header.source, most=MAX_SOURCE) or "")


async def _next(messages: AsyncIterator[pb.ImportReferenceRequest]) -> pb.ImportReferenceRequest | None:
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            return await anext(messages, None)
    except TimeoutError:
        raise TransientError(Reason.DEADLINE_EXCEEDED) from None
