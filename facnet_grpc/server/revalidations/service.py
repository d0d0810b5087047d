"""The method of `facnet.v1.ValidationService` that evaluates a completed run with the current rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.revalidation import Change, Revalidation
from facnet_grpc.model.run import Run
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.server import request_fields
from facnet_grpc.server.proto import CHANGE_KIND
from facnet_grpc.server.request_context import Context, current
from facnet_grpc.server.results.proto import ResultRenderer, renderer
from facnet_grpc.server.revalidations.commands import Revalidations


class RevalidationService:
    """Revalidations of the caller's runs. Nothing of them is kept."""

    def __init__(self, revalidations: Revalidations, redactor: Redactor) -> None:
        self._revalidations = revalidations
        self._redactor = redactor

    async def RevalidateValidation(
        self, request: pb.RevalidateValidationRequest, _context: Context
    ) -> AsyncIterator[pb.RevalidateValidationResponse]:
        """Send the changes of results, then their summary."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        owner, results = current().caller.scope, renderer(self._redactor)
        async with self._revalidations.requested(run_id, owner) as (run, revalidation):
            async with aclosing(self._revalidations.changes(revalidation, owner)) as changes:
                async for change in changes:
                    yield pb.RevalidateValidationResponse(change=_change(change, results))
            yield pb.RevalidateValidationResponse(summary=_summary(run, revalidation))


def _change(change: Change, renderer: ResultRenderer) -> pb.ResultChange:
    return pb.ResultChange(
        kind=CHANGE_KIND[change.kind],
        before=renderer.result(change.before) if change.before else None,
        after=renderer.result(change.after) if change.after else None,
    )


def _summary(run: Run, revalidation: Revalidation) -> pb.RevalidationSummary:
    return pb.RevalidationSummary(
        added=revalidation.added,
        gone=revalidation.gone,
        changed=revalidation.changed,
        unchanged=revalidation.unchanged,
        rule_set_version_before=run.rule_set_version or "",
        rule_set_version_after=revalidation.rule_set_version or "",
        reference_version_before=run.reference_version or "",
        reference_version_after=revalidation.reference_version or "",
    )
