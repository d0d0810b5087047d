"""The contract between those who enqueue and those who work: names, queues, payloads. Only ids travel."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

QUEUE = "validation"
VALIDATE = "validate_run"  # the actor's name
PAYLOAD_VERSION = 1


@dataclass(frozen=True, slots=True)
class ValidateRun:
    """Asks a worker to look at a run. Saying it twice is harmless: the second one finds nothing to claim."""

    run_id: UUID

    def to_kwargs(self) -> dict[str, str | int]:
        """Return the message's keyword arguments."""
        return {"run_id": str(self.run_id), "version": PAYLOAD_VERSION}
