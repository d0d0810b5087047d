"""The actors: what dramatiq calls with a message of each job."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

import dramatiq
from dramatiq import Actor, Broker
from opentelemetry.trace import SpanKind

from facnet_grpc import tracing
from facnet_grpc.jobs.contract import PAYLOAD_VERSION, QUEUE, REVALIDATE, VALIDATE
from facnet_grpc.logs import get_logger

log = get_logger(__name__)


def declare(broker: Broker, validate: Callable[[UUID], None]) -> Actor[..., None]:
    """Make `validate` the actor of validation jobs. It must not raise: dramatiq would log the text of the error."""

    @dramatiq.actor(broker=broker, actor_name=VALIDATE, queue_name=QUEUE)
    def validate_run(**payload: Any) -> None:
        run_id = _id(payload, "run_id")
        if run_id is None:
            # The run stays queued in PostgreSQL: the reconciler enqueues it until a newer worker takes it.
            log.warning("job_not_understood", version=str(payload.get("version"))[:20])
        else:
            with _span(payload, VALIDATE):
                validate(run_id)

    return validate_run


def declare_revalidation(broker: Broker, revalidate: Callable[[UUID], None]) -> Actor[..., None]:
    """Make `revalidate` the actor of revalidations. It must not raise either."""

    @dramatiq.actor(broker=broker, actor_name=REVALIDATE, queue_name=QUEUE)
    def revalidate_run(**payload: Any) -> None:
        revalidation_id = _id(payload, "revalidation_id")
        if revalidation_id is None:
            log.warning("job_not_understood", version=str(payload.get("version"))[:20])
        else:
            with _span(payload, REVALIDATE):
                revalidate(revalidation_id)

    return revalidate_run


def _span(payload: dict[str, Any], actor: str) -> AbstractContextManager[Any]:
    parent = tracing.extract(payload.get(tracing.HEADER))
    return tracing.span(actor, kind=SpanKind.CONSUMER, parent=parent, messaging__system="dramatiq")


def _id(payload: dict[str, Any], name: str) -> UUID | None:
    if payload.get("version") != PAYLOAD_VERSION:
        return None
    try:
        return UUID(payload[name])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
