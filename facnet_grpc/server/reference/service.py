"""`facnet.v1.ReferenceService`: codes and tariffs, establishments, versions; and new ones from files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from facnet_grpc.errors import FacnetError
from facnet_grpc.gen.facnet.v1 import reference_service_pb2 as pb
from facnet_grpc.gen.facnet.v1 import reference_service_pb2_grpc as pb_grpc
from facnet_grpc.logs import get_logger
from facnet_grpc.server import request_fields
from facnet_grpc.server.executors import BackgroundTasks, BlockingExecutor
from facnet_grpc.server.paging import cut, page_position, page_token
from facnet_grpc.server.reference import imports, proto
from facnet_grpc.storage.postgres import reference
from facnet_grpc.storage.postgres.database import Database
from facnet_grpc.storage.postgres.reference import ReferenceFile

ROWS_PER_PAGE = 100
MAX_PREFIX = 5
DRAIN_SECONDS = 3.0

Context = Any  # grpc.aio.ServicerContext; the stubs' own type is one of both worlds
log = get_logger(__name__)


class ReferenceService(pb_grpc.ReferenceServiceServicer):
    """Tells what the RAMQ publishes, and takes new editions of it."""

    def __init__(self, database: Database, blocking: BlockingExecutor, background: BackgroundTasks) -> None:
        self._database = database
        self._blocking = blocking
        self._background = background

    async def ListBillingCodes(  # noqa: N802 - named by the API
        self,
        request: pb.ListBillingCodesRequest,
        _context: Context,
    ) -> pb.ListBillingCodesResponse:
        """List codes, by code."""
        prefix = request_fields.optional_text("code_prefix", request.code_prefix, most=MAX_PREFIX) or ""
        size = request_fields.page_size(request.page_size, ROWS_PER_PAGE)
        version = _version(request.reference_version)
        asked = ("codes", prefix, version)
        after = _position(request.page_token, asked)

        def read() -> pb.ListBillingCodesResponse:
            with self._database.connection() as conn:
                found = reference.resolve(conn, version).version
                rows = reference.code_page(conn, found, prefix=prefix, after=after, limit=size + 1)
            page, token = cut(
                rows,
                size,
                lambda row: proto.billing_code(*row),
                lambda row: page_token(asked, row[0].encode()),
            )
            return pb.ListBillingCodesResponse(codes=page, next_page_token=token)

        return await self._blocking.run(read)

    async def GetBillingCode(  # noqa: N802 - named by the API
        self,
        request: pb.GetBillingCodeRequest,
        _context: Context,
    ) -> pb.GetBillingCodeResponse:
        """Read one code."""
        code = request_fields.text("code", request.code, most=MAX_PREFIX).zfill(MAX_PREFIX)
        version = _version(request.reference_version)

        def read() -> pb.GetBillingCodeResponse:
            with self._database.connection() as conn:
                entries = reference.code(conn, reference.resolve(conn, version).version, code)
            return pb.GetBillingCodeResponse(code=proto.billing_code(code, entries))

        return await self._blocking.run(read)

    async def ListEstablishments(  # noqa: N802 - named by the API
        self,
        request: pb.ListEstablishmentsRequest,
        _context: Context,
    ) -> pb.ListEstablishmentsResponse:
        """List establishments, by number."""
        size = request_fields.page_size(request.page_size, ROWS_PER_PAGE)
        version = _version(request.reference_version)
        asked = ("establishments", request.gmf_only, version)
        after = _position(request.page_token, asked)

        def read() -> pb.ListEstablishmentsResponse:
            with self._database.connection() as conn:
                found = reference.resolve(conn, version).version
                rows = reference.establishment_page(conn, found, gmf_only=request.gmf_only, after=after, limit=size + 1)
            page, token = cut(rows, size, proto.establishment, lambda row: page_token(asked, row.number.encode()))
            return pb.ListEstablishmentsResponse(establishments=page, next_page_token=token)

        return await self._blocking.run(read)

    async def GetReferenceVersion(  # noqa: N802 - named by the API
        self,
        request: pb.GetReferenceVersionRequest,
        _context: Context,
    ) -> pb.GetReferenceVersionResponse:
        """Tell which version is in force, or about another one."""
        version = _version(request.reference_version)

        def read() -> pb.GetReferenceVersionResponse:
            with self._database.connection() as conn:
                return proto.version(reference.resolve(conn, version))

        return await self._blocking.run(read)

    async def ImportReference(  # noqa: N802 - named by the API
        self,
        request_iterator: AsyncIterator[pb.ImportReferenceRequest],
        _context: Context,
    ) -> pb.ImportReferenceResponse:
        """Take files as a new version."""
        try:
            files = await imports.receive(request_iterator)
        except FacnetError:
            await _drain(request_iterator)
            raise
        # Not cancelled with the call: it goes through, or nothing of it is seen.
        work = self._background.start(self._store(files))
        return await asyncio.shield(work)

    async def _store(self, files: list[ReferenceFile]) -> pb.ImportReferenceResponse:
        version, changes = await self._blocking.run(imports.store, self._database, files)
        log.info("reference_imported", reference_version=version.version)
        return proto.imported(version, changes)


async def _drain(messages: AsyncIterator[Any]) -> None:
    """Read on for a while: clients that are still writing would otherwise see INTERNAL instead of the status."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in messages:
                pass


def _version(value: str) -> str:
    return request_fields.optional_text("reference_version", value) or ""


def _position(token: str, asked: object) -> str:
    return (page_position(token, asked) or b"").decode("utf-8", "replace")
