"""Imports reference files from a stream as a new version, all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from facnet_grpc.calendar import day_in_quebec
from facnet_grpc.errors import InvalidInput, LimitExceeded, Reason
from facnet_grpc.gen.facnet.v1 import reference_service_pb2 as pb
from facnet_grpc.model.reference import ReferenceChanges, ReferenceKind, ReferenceVersion
from facnet_grpc.reference import tables
from facnet_grpc.reference.tables import MAX_FILE_BYTES, ReferenceFile
from facnet_grpc.server import request_fields
from facnet_grpc.server.proto import REFERENCE_KIND, member
from facnet_grpc.server.request_stream import RequestStream
from facnet_grpc.storage.postgres import reference
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.storage.postgres.reference import IMPORT_SECONDS

MAX_SOURCE = 300


@dataclass(slots=True)
class _IncomingFile:
    """A file that is being received."""

    kind: ReferenceKind
    source: str
    data: bytearray = field(default_factory=bytearray)


async def receive(
    stream: RequestStream[pb.ImportReferenceRequest], *, max_bytes: int = MAX_FILE_BYTES
) -> list[ReferenceFile]:
    """Return the files of a stream, at most one of each kind.

    Raises `InvalidInput`, `LimitExceeded` (FILE_TOO_LARGE), `TransientError` from the stream.
    """
    files: dict[ReferenceKind, _IncomingFile] = {}
    incoming: _IncomingFile | None = None
    while (message := await stream.next()) is not None:
        if message.WhichOneof("message") == "header":
            incoming = _file(message.header)
            if files.setdefault(incoming.kind, incoming) is not incoming:
                request_fields.refuse("header.kind")
        elif incoming is None:
            raise InvalidInput(Reason.HEADER_REQUIRED, field="header")
        else:
            incoming.data += message.data
            if len(incoming.data) > max_bytes:
                raise LimitExceeded(Reason.FILE_TOO_LARGE, max_bytes=max_bytes)
    await stream.confirm_end()
    if not files:
        raise InvalidInput(Reason.HEADER_REQUIRED, field="header")
    return [ReferenceFile(one.kind, one.source, bytes(one.data)) for one in files.values()]


def store(database: Database, files: Sequence[ReferenceFile]) -> tuple[ReferenceVersion, ReferenceChanges]:
    """Parse the files and make them the current version. Blocks. Raises `InvalidInput` (BAD_REFERENCE_FILE)."""
    parts = tables.read_all(files)
    with database.connection(statement_timeout=IMPORT_SECONDS) as conn:
        return reference.adopt(conn, parts, source=tables.sources(files), day=day_in_quebec(datetime.now(UTC)))


def _file(header: pb.ReferenceFileHeader) -> _IncomingFile:
    kind = member("header.kind", header.kind, REFERENCE_KIND)
    return _IncomingFile(
        kind, request_fields.optional_text("header.source", header.source, max_length=MAX_SOURCE) or ""
    )
