"""The contract between those who enqueue and those who work: names, queues, payloads. Only ids travel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

QUEUE = "validation"
VALIDATE = "validate_run"  # the actor's name
REVALIDATE = "revalidate_run"
PAYLOAD_VERSION = 1


@dataclass(frozen=True, slots=True)
class ValidateRun:
    """Asks a worker to look at a run. Saying it twice is harmless: the second one finds nothing to claim."""

    actor: ClassVar[str] = VALIDATE
    run_id: UUID
    traceparent: str | None = None  # the span that the work belongs under; workers that do not know of it ignore it

    def to_kwargs(self) -> dict[str, str | int]:
        """Return the message's keyword arguments."""
        return {"run_id": str(self.run_id), "version": PAYLOAD_VERSION, **_trace(self.traceparent)}


@dataclass(frozen=True, slots=True)
class RevalidateRun:
    """Asks a worker to judge a run again, for the row of `revalidations` with this id. Saying it twice is harmless."""

    actor: ClassVar[str] = REVALIDATE
    revalidation_id: UUID
    traceparent: str | None = None

    def to_kwargs(self) -> dict[str, str | int]:
        """Return the message's keyword arguments."""
        return {
            "revalidation_id": str(self.revalidation_id),
            "version": PAYLOAD_VERSION,
            **_trace(self.traceparent),
        }


def _trace(traceparent: str | None) -> dict[str, str | int]:
    return {"traceparent": traceparent} if traceparent else {}


Job = ValidateRun | RevalidateRun
