"""What the present caller sees of persons, and the note that they saw it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from facnet_grpc.logs import get_logger
from facnet_grpc.phi import policy
from facnet_grpc.phi.redact import Redactor
from facnet_grpc.server.request import current
from facnet_grpc.storage.postgres import phi_access

log = get_logger(__name__)


def persons(redactor: Redactor) -> policy.Persons:
    """Return what the caller of the present call may see."""
    return policy.persons(current().caller, redactor)


def note(conn: Any, action: str, run_id: UUID, row_count: int) -> None:
    """Note that the caller sees persons as they are, if so; in the transaction that reads them."""
    request = current()
    caller = request.caller
    if caller.reads_phi:
        phi_access.note(conn, caller, action=action, run_id=run_id, row_count=row_count, request_id=request.id)
        log.info("persons_shown", owner=caller.label, action=action, run_id=str(run_id), rows=row_count)
