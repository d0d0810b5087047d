"""The part of `facnet.v1.ValidationService` that tells what the present rules would say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.revalidation import Change, ChangeKind, Revalidation
from facnet_grpc.model.run import Run
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.server import request_fields
from facnet_grpc.server.request_context import current
from facnet_grpc.server.results import phi_audit
from facnet_grpc.server.results.proto import ResultRenderer
from facnet_grpc.server.revalidations.queries import Revalidations

KINDS: Mapping[ChangeKind, pb.ChangeKind.ValueType] = {
    kind: pb.ChangeKind.Value(f"CHANGE_KIND_{kind.name}") for kind in ChangeKind
}

Context = Any  # grpc.aio.ServicerContext; the stubs' own type is one of both worlds


class RevalidationCalls:
    """Judge again."""

    _redactor: Redactor
    _revalidations: Revalidations

    async def RevalidateValidation(  # noqa: N802 - named by the API
        self,
        request: pb.RevalidateValidationRequest,
        _context: Context,
    ) -> AsyncIterator[pb.RevalidateValidationResponse]:
        """Tell what would change, then what it comes to."""
        run_id = request_fields.uuid("validation_id", request.validation_id)
        renderer = ResultRenderer(current().locale, phi_audit.person_view(self._redactor))
        owner = current().caller.scope
        async with self._revalidations.asked(run_id, owner) as (run, answer):
            async with aclosing(self._revalidations.changes(answer, owner)) as changes:
                async for change in changes:
                    yield pb.RevalidateValidationResponse(change=_change(change, renderer))
            yield pb.RevalidateValidationResponse(summary=_summary(run, answer))


def _change(change: Change, renderer: ResultRenderer) -> pb.ResultChange:
    return pb.ResultChange(
        kind=KINDS[change.kind],
        before=renderer.result(change.before) if change.before else None,
        after=renderer.result(change.after) if change.after else None,
    )


def _summary(run: Run, answer: Revalidation) -> pb.RevalidationSummary:
    return pb.RevalidationSummary(
        added=answer.added,
        gone=answer.gone,
        changed=answer.changed,
        unchanged=answer.unchanged,
        rule_set_version_before=run.rule_set_version or "",
        rule_set_version_after=answer.rule_set_version or "",
        reference_version_before=run.reference_version or "",
        reference_version_after=answer.reference_version or "",
    )
