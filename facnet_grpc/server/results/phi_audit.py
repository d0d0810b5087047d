"""Which personal data the current caller may see, and the PHI access log."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from facnet_grpc.logs import get_logger
from facnet_grpc.phi import redaction
from facnet_grpc.phi.redaction import Redactor
from facnet_grpc.server.request_context import current
from facnet_grpc.storage.postgres import audit

log = get_logger(__name__)


def person_view(redactor: Redactor) -> redaction.PersonView:
    """Return the redaction that applies to the current caller."""
    return redaction.person_view(current().caller, redactor)


def record(conn: Any, action: str, run_id: UUID, row_count: int) -> None:
    """Record that the caller, if PHI is visible to it, reads `row_count` rows; in the transaction that reads them."""
    request = current()
    caller = request.caller
    if caller.reads_phi:
        audit.record(conn, caller, action=action, run_id=run_id, row_count=row_count, request_id=request.id)
        log.info("persons_shown", owner=caller.label, action=action, run_id=str(run_id), rows=row_count)
