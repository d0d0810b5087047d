"""Counts what dramatiq does with messages, under the names that its dashboards know."""

from __future__ import annotations

from dramatiq import Broker
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware

from facnet_grpc import metrics


class JobMetrics(Middleware):
    """Messages begun, ended and failed. Actors here never raise, so a failed one is a defect."""

    def before_process_message(self, _broker: Broker, message: MessageProxy) -> None:
        """Count a message that is begun."""
        metrics.MESSAGES_IN_PROGRESS.labels(message.queue_name, message.actor_name).inc()

    def after_process_message(
        self,
        _broker: Broker,
        message: MessageProxy,
        *,
        result: object = None,  # noqa: ARG002 - dramatiq passes it
        exception: BaseException | None = None,
    ) -> None:
        """Count a message that has ended."""
        labels = (message.queue_name, message.actor_name)
        metrics.MESSAGES_IN_PROGRESS.labels(*labels).dec()
        metrics.MESSAGES.labels(*labels).inc()
        if exception is not None:
            metrics.MESSAGE_ERRORS.labels(*labels).inc()

    def after_nack(self, _broker: Broker, message: MessageProxy) -> None:
        """Count a message that nobody could take."""
        metrics.MESSAGES_REJECTED.labels(message.queue_name).inc()
