"""An event: a hint to watchers that a run has moved. Ids, counts and codes only; never input to work."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from facnet_grpc.model.run import Progress, RunStatus


@dataclass(frozen=True, slots=True)
class Event:
    """The state of a run at one moment, as its worker saw it.

    `position` is the entry's id in the run's stream, empty before it is published. `progress` is None for a state that
    a worker has nothing to say about (queued again, cancelled while waiting): the reader looks into PostgreSQL.
    """

    run_id: UUID
    status: RunStatus
    progress: Progress | None = None
    position: str = ""
