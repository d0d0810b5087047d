"""What both ways of saying it have in common: how an attempt may fail.

What a webhook says: a CloudEvent 1.0, as JSON in the body (structured mode).
"""

from __future__ import annotations

from cloudevents.core.bindings.http import HTTPMessage, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from facnet_grpc.model.notification import Notification


class NotDelivered(Exception):
    """It did not get through; `problem` is one of a few words, with a status code perhaps, fit for a log.

    `final`: no other attempt can go better.
    """

    def __init__(self, problem: str, *, final: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.final = final


def message(one: Notification, source: str) -> HTTPMessage:
    """Return headers and body, the same for every attempt: the event's id is the notification's."""
    attributes = {
        "id": str(one.id),
        "source": source,
        "type": f"facnet.validation.{one.status.lower()}",
        "subject": str(one.run_id),
        "time": one.created_at,
        "datacontenttype": "application/json",
    }
    return to_structured(CloudEvent(attributes, dict(one.data)), JSONFormat())
