"""What somebody is to hear of a run that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from facnet_grpc.model.run import RunStatus


class Channel(StrEnum):
    """A way of saying it."""

    WEBHOOK = "webhook"
    MAIL = "mail"


class DeliveryOutcome(StrEnum):
    """What became of an attempt to say it."""

    SENT = "sent"
    POSTPONED = "postponed"  # it did not get through: another attempt follows
    GIVEN_UP = "given_up"  # it has not got through for too long, or nobody wants it any more
    REFUSED = "refused"  # the settings do not allow the address any more, or name nobody


@dataclass(frozen=True, slots=True)
class Notification:
    """A row of `notifications`, taken by a worker for one attempt."""

    id: UUID
    run_id: UUID
    channel: Channel
    owner: str
    status: RunStatus
    url: str | None = field(repr=False)  # of a webhook; may hold a secret
    data: Mapping[str, Any]  # ids, counts and codes
    created_at: datetime
    attempt: int  # from 1
    age_seconds: float
