"""`facnet.v1.ReferenceService`: billing codes and tariffs, establishments, versions and imports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from facnet_grpc.errors import FacnetError
from facnet_grpc.gen.facnet.v1 import reference_service_pb2 as pb
from facnet_grpc.logs import get_logger
from facnet_grpc.reference.tables import MAX_FILE_BYTES, ReferenceFile
from facnet_grpc.server import request_fields
from facnet_grpc.server.executors import BackgroundTasks, BlockingExecutor
from facnet_grpc.server.paging import TEXT, Page
from facnet_grpc.server.reference import imports, proto
from facnet_grpc.server.request_context import Context
from facnet_grpc.server.request_stream import RequestStream
from facnet_grpc.storage.postgres import reference
from facnet_grpc.storage.postgres.database import Database

CODE_DIGITS = 5
IDLE_SECONDS = 60.0  # of an import, without a message

log = get_logger(__name__)


class ReferenceService:
    """Reference data of the RAMQ, in the current version unless a request names another one."""

    def __init__(
        self,
        database: Database,
        blocking: BlockingExecutor,
        background: BackgroundTasks,
        *,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self._max_file_bytes = max_file_bytes
        self._database = database
        self._blocking = blocking
        self._background = background

    async def ListBillingCodes(
        self, request: pb.ListBillingCodesRequest, _context: Context
    ) -> pb.ListBillingCodesResponse:
        """List codes in order."""
        prefix = request_fields.optional_text("code_prefix", request.code_prefix, max_length=CODE_DIGITS) or ""
        version = _version(request.reference_version)
        page = Page(request, ("codes", prefix, version), TEXT)

        def read() -> pb.ListBillingCodesResponse:
            with self._database.connection() as conn:
                found = reference.resolve(conn, version).version
                rows = reference.code_page(conn, found, prefix=prefix, after=page.after or "", limit=page.limit)
            codes, token = page.build(rows, lambda row: proto.billing_code(*row), lambda row: row[0])
            return pb.ListBillingCodesResponse(codes=codes, next_page_token=token)

        return await self._blocking.run(read)

    async def GetBillingCode(self, request: pb.GetBillingCodeRequest, _context: Context) -> pb.GetBillingCodeResponse:
        """Return one code. Raises `NotFound`."""
        code = request_fields.text("code", request.code, max_length=CODE_DIGITS).zfill(CODE_DIGITS)
        version = _version(request.reference_version)

        def read() -> pb.GetBillingCodeResponse:
            with self._database.connection() as conn:
                entries = reference.code(conn, reference.resolve(conn, version).version, code)
            return pb.GetBillingCodeResponse(code=proto.billing_code(code, entries))

        return await self._blocking.run(read)

    async def ListEstablishments(
        self, request: pb.ListEstablishmentsRequest, _context: Context
    ) -> pb.ListEstablishmentsResponse:
        """List establishments in the order of their numbers."""
        version = _version(request.reference_version)
        page = Page(request, ("establishments", request.gmf_only, version), TEXT)

        def read() -> pb.ListEstablishmentsResponse:
            with self._database.connection() as conn:
                found = reference.resolve(conn, version).version
                rows = reference.establishment_page(
                    conn, found, gmf_only=request.gmf_only, after=page.after or "", limit=page.limit
                )
            establishments, token = page.build(rows, proto.establishment, lambda row: row.number)
            return pb.ListEstablishmentsResponse(establishments=establishments, next_page_token=token)

        return await self._blocking.run(read)

    async def GetReferenceVersion(
        self, request: pb.GetReferenceVersionRequest, _context: Context
    ) -> pb.GetReferenceVersionResponse:
        """Return the current version, or the requested one."""
        version = _version(request.reference_version)

        def read() -> pb.GetReferenceVersionResponse:
            with self._database.connection() as conn:
                return proto.version(reference.resolve(conn, version))

        return await self._blocking.run(read)

    async def ImportReference(
        self, request_iterator: AsyncIterator[pb.ImportReferenceRequest], _context: Context
    ) -> pb.ImportReferenceResponse:
        """Import files as a new version."""
        stream = RequestStream(request_iterator, IDLE_SECONDS)
        try:
            files = await imports.receive(stream, max_bytes=self._max_file_bytes)
        except FacnetError:
            await stream.drain()
            raise
        # Not cancelled with the call: the import is stored completely or not at all.
        work = self._background.start(self._store(files))
        return await asyncio.shield(work)

    async def _store(self, files: list[ReferenceFile]) -> pb.ImportReferenceResponse:
        version, changes = await self._blocking.run(imports.store, self._database, files)
        log.info("reference_imported", reference_version=version.version)
        return proto.imported(version, changes)


def _version(value: str) -> str:
    return request_fields.optional_text("reference_version", value) or ""
