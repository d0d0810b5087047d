"""The thread beside an attempt: keeps its lease, learns of a cancel, tells watchers how far it is.

The attempt itself looks between batches and rules whether it has to stop. One that does not come to it, because a COPY
waits or a rule takes long, is ended from here: the run is settled, and the session that holds its rows is ended.
"""

from __future__ import annotations

import time
from threading import Event as Flag
from threading import Thread
from types import TracebackType
from typing import Self

from facnet_grpc import faults, metrics
from facnet_grpc.errors import FacnetError, LeaseLost, RunCancelled
from facnet_grpc.logs import get_logger
from facnet_grpc.model.event import Event
from facnet_grpc.model.run import Claim, Progress, RunStatus
from facnet_grpc.storage.postgres import records, runs
from workers.pipeline import ending
from workers.pipeline.control import Control
from workers.pipeline.progress import ProgressBoard
from workers.pipeline.resources import Resources
from workers.pipeline.throttle import LEAST_GAP, Throttle

CANCEL_PATIENCE_SECONDS = 0.3  # for an attempt to stop by itself
BEAT_PATIENCE_SECONDS = 2.0  # for a connection: events wait for the heartbeat
log = get_logger(__name__)


class Reporter:
    """Reports while the context lasts. Trouble with Redis is logged once and never stops the work."""

    def __init__(self, resources: Resources, claim: Claim, board: ProgressBoard, control: Control) -> None:
        self._resources = resources
        self._claim = claim
        self._board = board
        self._control = control
        self._throttle = Throttle()
        self._published: Progress | None = None
        self._publishing_failed = False
        self._last_beat = time.monotonic()  # the claim was the first
        self._cancelled_at: float | None = None
        self._stopped = Flag()
        self._thread = Thread(target=self._run, name="reporter", daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; nothing is published and no heartbeat sent after this."""
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Begin nothing more. Called before the run ends: a heartbeat after that would be a lost lease."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            now = time.monotonic()
            self._publish(now)
            if self._cancelled_at is not None:
                self._insist(now - self._cancelled_at)
            elif time.monotonic() - self._last_beat >= self._beat_seconds:
                self._beat(now)
            self._stopped.wait(min(LEAST_GAP, self._beat_seconds))

    @property
    def _beat_seconds(self) -> float:
        return self._resources.settings.lease_beat_seconds

    def _publish(self, now: float) -> None:
        progress = self._board.progress
        if not self._throttle.due(now, changed=progress is not self._published):
            return
        try:
            self._resources.events.publish(Event(self._claim.run.id, RunStatus.PROCESSING, progress))
            faults.point("worker.progress.published")
        except FacnetError as error:
            self._throttle.failed(now)
            self._note_silence(error)
        else:
            self._throttle.sent(now)
            self._published = progress

    def _note_silence(self, error: FacnetError) -> None:
        metrics.EVENT_PUBLISH_FAILURES.inc()
        if not self._publishing_failed:
            log.warning("events_not_published", run_id=str(self._claim.run.id), reason=error.reason)
        self._publishing_failed = True

    def _beat(self, now: float) -> None:
        settings = self._resources.settings
        try:
            faults.point("worker.heartbeat")
            with self._resources.database.connection(timeout=BEAT_PATIENCE_SECONDS) as conn:
                cancelled = runs.beat(conn, self._claim, self._board.progress, lease_seconds=settings.lease_seconds)
        except LeaseLost:
            self._control.lose_lease()
        except FacnetError as error:
            log.warning("heartbeat_failed", run_id=str(self._claim.run.id), reason=error.reason)
            if time.monotonic() - self._last_beat >= settings.lease_seconds:
                self._control.lose_lease()
        else:
            self._last_beat = now
            if cancelled:
                self._control.cancel()
                self._cancelled_at = now

    def _insist(self, waited: float) -> None:
        """End a cancelled run without the thread that works on it; that one finds its lease lost."""
        if waited < CANCEL_PATIENCE_SECONDS or self._stopped.is_set():
            return
        self.stop()
        ending.failed(self._resources, self._claim, self._board.progress, RunCancelled())
        self._control.lose_lease()
        try:
            with self._resources.database.connection(timeout=BEAT_PATIENCE_SECONDS) as conn:
                records.evict(conn, self._claim.run.id)
        except FacnetError as error:
            log.warning("session_not_ended", run_id=str(self._claim.run.id), reason=error.reason)
