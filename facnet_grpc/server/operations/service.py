"""`facnet.v1.OperationsService`: queue state, failed jobs, replay and purge."""

from __future__ import annotations

from facnet_grpc.errors import InvalidInput
from facnet_grpc.gen.facnet.v1 import operations_service_pb2 as pb
from facnet_grpc.server import request_fields
from facnet_grpc.server.dispatch import Dispatcher
from facnet_grpc.server.executors import BlockingExecutor
from facnet_grpc.server.operations import proto
from facnet_grpc.server.operations.commands import Operations
from facnet_grpc.server.paging import TIME_AND_ID, Page
from facnet_grpc.server.request_context import Context, current
from facnet_grpc.server.runs import proto as runs_proto
from facnet_grpc.settings.schedule import ScheduleSettings

RECENT_MINUTES = 15
MAX_RECENT_MINUTES = 1440
MAX_DAYS = 36_500
JOBS_PER_PAGE = 50


class OperationsService:
    """For admins: the runs of all owners, unless the caller is confined to one."""

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

    async def GetQueueStats(self, request: pb.GetQueueStatsRequest, _context: Context) -> pb.GetQueueStatsResponse:
        """Return the state of the queue."""
        minutes = _number("recent_minutes", request.recent_minutes, MAX_RECENT_MINUTES) or RECENT_MINUTES
        scope = current().caller.scope

        def read() -> pb.GetQueueStatsResponse:
            found = self._operations.state(scope, recent_seconds=minutes * 60.0)
            return proto.state(found, minutes * 60.0)

        return await self._blocking.run(read)

    async def ListFailedJobs(self, request: pb.ListFailedJobsRequest, _context: Context) -> pb.ListFailedJobsResponse:
        """List failed jobs, latest first."""
        filters = proto.failed_job_filters(request)
        scope, locale = current().caller.scope, current().locale
        page = Page(request, ("failed", scope, filters), TIME_AND_ID, JOBS_PER_PAGE)
        kept_seconds = self._settings.failed_blob_seconds

        def read() -> pb.ListFailedJobsResponse:
            rows = self._operations.failed(scope, filters, after=page.after, limit=page.limit)
            jobs, token = page.build(
                rows, lambda job: proto.failed_job(job, locale, kept_seconds), lambda job: (job.failed_at, job.id)
            )
            return pb.ListFailedJobsResponse(jobs=jobs, next_page_token=token)

        return await self._blocking.run(read)

    async def ReplayFailedJob(
        self, request: pb.ReplayFailedJobRequest, _context: Context
    ) -> pb.ReplayFailedJobResponse:
        """Queue a failed run again."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        run, replayed = await self._blocking.run(self._operations.replay, run_id, current().caller.scope)
        if replayed:
            self._dispatcher.send(run_id)
        validation = runs_proto.validation(run, current().locale)
        return pb.ReplayFailedJobResponse(validation=validation, replayed=replayed)

    async def PurgeValidations(
        self, request: pb.PurgeValidationsRequest, _context: Context
    ) -> pb.PurgeValidationsResponse:
        """Delete old runs, or count them."""
        days = self._settings.retention_days
        if request.HasField("older_than_days"):
            days = _number("older_than_days", request.older_than_days, MAX_DAYS)
        owner = request_fields.optional_text("owner", request.owner)
        scope = current().caller.scope
        if scope is not None and owner not in {None, scope}:
            return pb.PurgeValidationsResponse(older_than_days=days)
        purged = await self._blocking.run(
            self._operations.purge, scope or owner, older_than_days=days, dry_run=request.dry_run
        )
        return pb.PurgeValidationsResponse(purged=purged.runs, more=purged.more, older_than_days=days)


def _number(field: str, value: int, maximum: int) -> int:
    if not 0 <= value <= maximum:
        raise InvalidInput(field=field)
    return value
