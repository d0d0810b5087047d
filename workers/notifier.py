"""The notifier: delivers the transactional outbox of notifications, in a thread of every worker process.

Each process claims rows of its own. A row is claimed, committed, sent, and marked: if a worker dies between the last
two, the row is sent again under the same id once its lease has expired (at-least-once delivery).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Event, Thread

from facnet_grpc import faults, metrics
from facnet_grpc.backoff import backoff_seconds
from facnet_grpc.calendar import DAY_SECONDS
from facnet_grpc.errors import FacnetError
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.model.notification import Channel, DeliveryOutcome, Notification
from facnet_grpc.notify import NotDelivered
from facnet_grpc.notify.mail import MailSender
from facnet_grpc.notify.webhook import WebhookSender
from facnet_grpc.settings.notify import NotifySettings
from facnet_grpc.storage.postgres import outbox
from facnet_grpc.storage.postgres.database import Database

CONCURRENCY = 4  # deliveries at a time in each process
POLL_SECONDS = 1.0
BUSY_POLL_SECONDS = 0.1  # while something is being sent: more may be due
METRICS_SECONDS = 5.0
LEASE_SECONDS = 120.0  # much longer than a delivery takes
CLOSE_SECONDS = 5.0
DELETE_BATCH = 5000
log = get_logger(__name__)

Send = Callable[[Notification], None]
delivery_backoff = partial(backoff_seconds, base_seconds=5.0, max_seconds=3600.0)


class Notifier:
    """Sends what is due, every second. `senders` raise `NotDelivered`; `backoff` returns the seconds before a retry."""

    def __init__(
        self,
        settings: NotifySettings,
        database: Database,
        *,
        senders: Mapping[Channel, Send] | None = None,
        lease_seconds: float = LEASE_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        backoff: Callable[[int], float] = delivery_backoff,
    ) -> None:
        self._settings = settings
        self._database = database
        self._senders = senders or {
            Channel.WEBHOOK: WebhookSender(settings).send,
            Channel.MAIL: MailSender(settings).send,
        }
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._backoff = backoff
        self._sending: set[Future[None]] = set()
        self._stopped = Event()
        self._pool = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="notification")
        self._thread = Thread(target=self._run, name="notifier", daemon=True)

    def open(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Claim nothing more, and wait for the deliveries in progress, for `CLOSE_SECONDS` at most."""
        self._stopped.set()
        self._thread.join(CLOSE_SECONDS)
        wait(self._sending, CLOSE_SECONDS)
        self._pool.shutdown(wait=False)

    def send_due(self) -> None:
        """Claim what is due, as much as can be sent at once, and start sending it. Raises `TransientError`."""
        free = CONCURRENCY - len(self._sending)
        if not free:
            return
        with self._database.connection() as conn:
            claimed = outbox.claim(conn, lease_seconds=self._lease_seconds, limit=free)
        for notification in claimed:
            delivery = self._pool.submit(self._deliver, notification)
            self._sending.add(delivery)
            delivery.add_done_callback(self._sending.discard)

    def wait(self) -> None:
        """Wait for the deliveries in progress."""
        wait(set(self._sending))

    def update_metrics(self) -> None:
        """Export the size of the outbox. Every worker does, so that none shows old figures. Raises `TransientError`."""
        with self._database.connection() as conn:
            count, age = outbox.count_pending(conn)
        metrics.NOTIFICATIONS_PENDING.set(count)
        metrics.NOTIFICATIONS_AGE.set(age)

    def delete_old(self) -> None:
        """Delete notifications that ended long ago: a step of a periodic job. Raises `TransientError`."""
        keep = self._settings.notify_retention_days * DAY_SECONDS
        with self._database.connection() as conn:
            count = outbox.delete_finished(conn, older_than_seconds=keep, limit=DELETE_BATCH)
        if count:
            log.info("notifications_deleted", count=count)

    def _run(self) -> None:
        metrics_at = time.monotonic()
        while not self._stopped.wait(BUSY_POLL_SECONDS if self._sending else self._poll_seconds):
            try:
                self.send_due()
                if time.monotonic() >= metrics_at:
                    self.update_metrics()
                    metrics_at = time.monotonic() + METRICS_SECONDS
            except FacnetError as error:
                log.warning("notifier_failed", **exception_fields(error))
            except Exception as error:  # noqa: BLE001 - the next time may succeed
                log.error("notifier_failed", **exception_fields(error))  # noqa: TRY400 - a traceback may quote anything

    def _deliver(self, notification: Notification) -> None:
        """Make one attempt and store its outcome. Never raises: without a stored outcome it is sent again."""
        outcome, seconds = self._attempt(notification)
        metrics.NOTIFICATIONS.labels(notification.channel, outcome).inc()
        try:
            faults.point("worker.notification.sent")
            with self._database.connection() as conn:
                if outcome is DeliveryOutcome.POSTPONED:
                    outbox.postpone(conn, notification, seconds)
                else:
                    outbox.finish(conn, notification, outcome)
        except FacnetError as error:
            log.warning("notification_not_stored", run_id=str(notification.run_id), **exception_fields(error))

    def _attempt(self, notification: Notification) -> tuple[DeliveryOutcome, float]:
        """Send, and return the outcome and the seconds before the next attempt."""
        channel, attempt = notification.channel, notification.attempt
        fields = {"run_id": str(notification.run_id), "channel": channel, "attempt": attempt}
        try:
            self._senders[channel](notification)
        except NotDelivered as error:
            problem, final = error.problem, error.final
        except Exception as error:  # noqa: BLE001 - a bug must not lose a notification
            problem, final = type(error).__name__, False
        else:
            log.info("notification_sent", **fields)
            return DeliveryOutcome.SENT, 0.0
        if final:
            log.warning("notification_refused", problem=problem, **fields)
            return DeliveryOutcome.REFUSED, 0.0
        seconds = self._backoff(attempt)
        if notification.age_seconds + seconds > self._settings.notify_give_up_seconds:
            log.error("notification_given_up", problem=problem, **fields)
            return DeliveryOutcome.GIVEN_UP, 0.0
        log.warning("notification_postponed", problem=problem, seconds=round(seconds), **fields)
        return DeliveryOutcome.POSTPONED, seconds
