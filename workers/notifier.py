"""Says that runs have ended to those who want to hear it. A thread in every worker process.

PostgreSQL holds what is owed and deals it out; several processes work at it at once, each on rows of its own. A row is
taken, committed, sent, and marked: a worker that dies between the last two leaves it to be sent again, under the same
id, once its lease is over.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event as Flag
from threading import Thread

from facnet_grpc import faults, metrics
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

AT_ONCE = 4  # in each process
POLL_SECONDS = 1.0
BUSY_POLL_SECONDS = 0.1  # while something is being sent: more may wait behind it
MEASURE_SECONDS = 5.0
LEASE_SECONDS = 120.0  # far longer than an attempt takes
FIRST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 3600.0
CLOSE_SECONDS = 5.0
FORGET_AT_ONCE = 5000
log = get_logger(__name__)

Send = Callable[[Notification], None]


class Notifier:
    """Looks every second for what is due. `ways` send it, and raise `NotDelivered`."""

    def __init__(
        self,
        settings: NotifySettings,
        database: Database,
        *,
        ways: Mapping[Channel, Send] | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._settings = settings
        self._database = database
        self._ways = ways or {Channel.WEBHOOK: WebhookSender(settings).send, Channel.MAIL: MailSender(settings).send}
        self._lease_seconds = lease_seconds
        self._going: set[Future[None]] = set()
        self._stopped = Flag()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="notification")  # starts threads when needed
        self._thread = Thread(target=self._run, name="notifier", daemon=True)
        self._measured_at = float("-inf")

    @property
    def chores(self) -> tuple[Callable[[], None], ...]:
        """What one worker does for all from time to time."""
        return (self.forget,)

    def open(self) -> None:
        """Start."""
        self._thread.start()

    def close(self) -> None:
        """Take nothing new, and let what is being sent come to its end."""
        self._stopped.set()
        self._thread.join(CLOSE_SECONDS)
        wait(self._going, CLOSE_SECONDS)
        self._pool.shutdown(wait=False)

    def look(self) -> None:
        """Take what is due, as much as can be sent at once, and begin. Raises `TransientError`."""
        free = AT_ONCE - len(self._going)
        if not free:
            return
        with self._database.connection() as conn:
            taken = outbox.claim(conn, lease_seconds=self._lease_seconds, limit=free)
        for one in taken:
            going = self._pool.submit(self._deliver, one)
            self._going.add(going)
            going.add_done_callback(self._going.discard)

    def settle(self) -> None:
        """Wait for what has begun."""
        wait(set(self._going))

    def measure(self) -> None:
        """Tell Prometheus what is owed. Every worker does, so that none shows figures of long ago."""
        if time.monotonic() - self._measured_at < MEASURE_SECONDS:
            return
        with self._database.connection() as conn:
            count, age = outbox.count_pending(conn)
        metrics.NOTIFICATIONS_PENDING.set(count)
        metrics.NOTIFICATIONS_AGE.set(age)
        self._measured_at = time.monotonic()

    def forget(self) -> None:
        """Remove what was sent or given up long ago. Raises `TransientError`."""
        keep = self._settings.notify_retention_days * DAY_SECONDS
        with self._database.connection() as conn:
            gone = outbox.delete_finished(conn, older_than_seconds=keep, limit=FORGET_AT_ONCE)
        if gone:
            log.info("notifications_forgotten", count=gone)

    def _run(self) -> None:
        while not self._stopped.wait(BUSY_POLL_SECONDS if self._going else POLL_SECONDS):
            try:
                self.look()
                self.measure()
            except FacnetError as error:
                log.warning("notifier_failed", **exception_fields(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, the next round may go better
                log.error("notifier_failed", **exception_fields(error))  # noqa: TRY400 - a traceback may quote anything

    def _deliver(self, one: Notification) -> None:
        """Make one attempt and note what became of it. Never raises: what is not noted is sent again."""
        outcome, seconds = self._attempt(one)
        metrics.NOTIFICATIONS.labels(one.channel, outcome).inc()
        try:
            faults.point("worker.notification.sent")
            with self._database.connection() as conn:
                if outcome is DeliveryOutcome.POSTPONED:
                    outbox.postpone(conn, one, seconds)
                else:
                    outbox.finish(conn, one, outcome)
        except FacnetError as error:
            log.warning("notification_not_noted", run_id=str(one.run_id), **exception_fields(error))

    def _attempt(self, one: Notification) -> tuple[DeliveryOutcome, float]:
        told = {"run_id": str(one.run_id), "channel": one.channel, "attempt": one.attempt}
        try:
            self._ways[one.channel](one)
        except NotDelivered as error:
            problem, final = error.problem, error.final
        except Exception as error:  # noqa: BLE001 - a defect of ours must not lose it
            problem, final = type(error).__name__, False
        else:
            log.info("notification_sent", **told)
            return DeliveryOutcome.SENT, 0.0
        if final:
            log.warning("notification_refused", problem=problem, **told)
            return DeliveryOutcome.REFUSED, 0.0
        seconds = wait_seconds(one.attempt)
        if one.age_seconds + seconds > self._settings.notify_give_up_seconds:
            log.error("notification_given_up", problem=problem, **told)
            return DeliveryOutcome.GIVEN_UP, 0.0
        log.warning("notification_postponed", problem=problem, seconds=round(seconds), **told)
        return DeliveryOutcome.POSTPONED, seconds


def wait_seconds(attempt: int) -> float:
    """Return the seconds to wait after `attempt` (from 1): doubles each time up to an hour, half of it at random."""
    wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(attempt - 1, 30))
    return wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
