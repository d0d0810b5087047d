"""`facnet.v1.OperationsService`: what waits, who works, what failed; trying again, and removing what is old."""

from __future__ import annotations

from typing import Any

from facnet_grpc.errors import InvalidInput
from facnet_grpc.gen.facnet.v1 import operations_service_pb2 as pb
from facnet_grpc.gen.facnet.v1 import operations_service_pb2_grpc as pb_grpc
from facnet_grpc.server import request_fields
from facnet_grpc.server.dispatch import Dispatcher
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.operations import proto
from facnet_grpc.server.operations.commands import Operations
from facnet_grpc.server.paging import cut, moment_position, moment_token
from facnet_grpc.server.request_context import current
from facnet_grpc.server.runs import proto as runs_proto
from facnet_grpc.settings.schedule import ScheduleSettings

RECENT_MINUTES = 15
MOST_MINUTES = 1440
MOST_DAYS = 36_500
JOBS_PER_PAGE = 50

Context = Any  # grpc.aio.ServicerContext; the stubs' own type is one of both worlds


class OperationsService(pb_grpc.OperationsServiceServicer):
    """For admins; what belongs to other owners as well, unless the caller is confined to one."""

    def __init__(
        self,
        operations: Operations,
        dispatcher: Dispatcher,
        blocking: BlockingExecutor,
        settings: ScheduleSettings,
    ) -> None:
        self._operations = operations
        self._dispatcher = dispatcher
        self._blocking = blocking
        self._settings = settings

    async def GetQueueStats(  # noqa: N802 - named by the API
        self,
        request: pb.GetQueueStatsRequest,
        _context: Context,
    ) -> pb.GetQueueStatsResponse:
        """Tell how the queue stands."""
        minutes = _number("recent_minutes", request.recent_minutes, MOST_MINUTES) or RECENT_MINUTES
        scope = current().caller.scope

        def read() -> pb.GetQueueStatsResponse:
            found = self._operations.state(scope, recent_seconds=minutes * 60.0)
            return proto.state(found, minutes * 60.0)

        return await self._blocking.run(read)

    async def ListFailedJobs(  # noqa: N802 - named by the API
        self,
        request: pb.ListFailedJobsRequest,
        _context: Context,
    ) -> pb.ListFailedJobsResponse:
        """List jobs that ended badly."""
        size = request_fields.page_size(request.page_size, JOBS_PER_PAGE)
        wanted = proto.wanted(request)
        scope, locale = current().caller.scope, current().locale
        asked = ("failed", scope, wanted)
        after = moment_position(request.page_token, asked)
        kept_seconds = self._settings.failed_blob_seconds

        def read() -> pb.ListFailedJobsResponse:
            rows = self._operations.failed(scope, wanted, after=after, limit=size + 1)
            page, token = cut(
                rows,
                size,
                lambda job: proto.failed_job(job, locale, kept_seconds),
                lambda job: moment_token(asked, job.failed_at, job.id),
            )
            return pb.ListFailedJobsResponse(jobs=page, next_page_token=token)

        return await self._blocking.run(read)

    async def ReplayFailedJob(  # noqa: N802 - named by the API
        self,
        request: pb.ReplayFailedJobRequest,
        _context: Context,
    ) -> pb.ReplayFailedJobResponse:
        """Queue a failed run again."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        run, replayed = await self._blocking.run(self._operations.replay, run_id, current().caller.scope)
        if replayed:
            self._dispatcher.send(run_id)
        shown = runs_proto.validation(run, current().locale)
        return pb.ReplayFailedJobResponse(validation=shown, replayed=replayed)

    async def PurgeValidations(  # noqa: N802 - named by the API
        self,
        request: pb.PurgeValidationsRequest,
        _context: Context,
    ) -> pb.PurgeValidationsResponse:
        """Remove what is old, or count it."""
        days = self._settings.retention_days
        if request.HasField("older_than_days"):
            days = _number("older_than_days", request.older_than_days, MOST_DAYS)
        owner = request_fields.optional_text("owner", request.owner)
        scope = current().caller.scope
        if scope is not None and owner not in {None, scope}:
            return pb.PurgeValidationsResponse(older_than_days=days)
        purged = await self._blocking.run(
            self._operations.purge, scope or owner, older_than_days=days, dry_run=request.dry_run
        )
        return pb.PurgeValidationsResponse(purged=purged.runs, more=purged.more, older_than_days=days)


def _number(field: str, value: int, most: int) -> int:
    if not 0 <= value <= most:
        raise InvalidInput(field=field)
    return value
