"""How far an attempt is, in figures and as one percentage that never steps back.

Parsing is worth 50 %, loading 25 %, rules 15 %, storing results 10 %. Parsing and loading overlap, so their shares
add up rather than follow each other.

When to say something: by time, not by rows.

The thread beside an attempt: keeps its lease, learns of a cancel, tells watchers how far it is.

The attempt itself looks between batches and rules whether it has to stop. One that does not come to it, because a COPY
waits or a rule takes long, is ended from here: the run is settled, and the session that holds its rows is ended.
"""

from __future__ import annotations

import time
from dataclasses import replace
from threading import Event as Flag
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self

from facnet_grpc import faults, metrics
from facnet_grpc.errors import FacnetError, LeaseLost, RunCancelled
from facnet_grpc.logs import get_logger
from facnet_grpc.model.result import MAX_PREVIEWS, ResultPreview
from facnet_grpc.model.run import Claim, Progress, RunEvent, RunPhase, RunStatus, SeverityCounts
from facnet_grpc.storage.postgres import leases, records
from workers.validation import finalize
from workers.validation.lease_guard import LeaseGuard
from workers.validation.resources import Resources

PARSING, LOADING, RULES, RESULTS = 50.0, 25.0, 15.0, 10.0


class ProgressTracker:
    """Written by the threads that work, read by the one that reports."""

    def __init__(self, attempt: int, total_bytes: int) -> None:
        self._lock = Lock()
        self._progress = Progress(attempt, RunPhase.LOADING, 0.0, total_bytes=total_bytes)
        self._bytes_loaded = 0

    @property
    def progress(self) -> Progress:
        """The figures as they are now: equal until something moves."""
        return self._progress

    def parsed(self, *, bytes_parsed: int, rows_parsed: int, rows_rejected: int) -> None:
        """Note how far the parser is: figures for the file so far."""
        self._move(bytes_parsed=bytes_parsed, rows_parsed=rows_parsed, rows_rejected=rows_rejected)

    def loaded(self, *, bytes_loaded: int, rows_loaded: int) -> None:
        """Note what PostgreSQL has taken: the position in the file and the rows, both so far."""
        self._bytes_loaded = bytes_loaded
        self._move(rows_loaded=rows_loaded)

    def judged(self, *, done: int, total: int, counts: SeverityCounts, preview: tuple[ResultPreview, ...] = ()) -> None:
        """Note that `done` of `total` rules have run, and what they found so far; `preview` is the last one's."""
        percent = PARSING + LOADING + RULES * _share(done, total)
        shown = (*self._progress.preview, *preview)[:MAX_PREVIEWS]
        self._move(percent, phase=RunPhase.RULES, result_counts=counts, preview=shown)

    def stored(self, *, done: int, total: int) -> None:
        """Note that `done` of `total` results are stored."""
        self._move(PARSING + LOADING + RULES + RESULTS * _share(done, total), phase=RunPhase.STORING_RESULTS)

    def finished(self) -> Progress:
        """Note that everything is committed, and return the last figures."""
        self.stored(done=1, total=1)
        return self.progress

    def _move(self, percent: float | None = None, **figures: Any) -> None:
        with self._lock:
            moved = replace(self._progress, **figures)
            reached = self._load_percent(moved) if percent is None else percent
            self._progress = replace(moved, percent=min(100.0, max(self._progress.percent, reached)))

    def _load_percent(self, progress: Progress) -> float:
        total = progress.total_bytes
        return PARSING * _share(progress.bytes_parsed, total) + LOADING * _share(self._bytes_loaded, total)


def _share(done: int, total: int) -> float:
    return min(1.0, done / total) if total > 0 else 1.0


LEAST_GAP = 0.1  # seconds: at most ten a second
MOST_GAP = 1.0  # seconds: at least one a second, also when nothing moves


class Throttle:
    """Decides whether an event is due; the caller brings the clock, in seconds."""

    def __init__(self) -> None:
        self._if_changed = self._in_any_case = float("-inf")

    def due(self, now: float, *, changed: bool) -> bool:
        """Return whether to publish now."""
        return now >= (self._if_changed if changed else self._in_any_case)

    def sent(self, now: float) -> None:
        """Note that something was published."""
        self._if_changed = now + LEAST_GAP
        self._in_any_case = now + MOST_GAP

    def failed(self, now: float) -> None:
        """Note that publishing failed: the next try is after the longest gap."""
        self._if_changed = self._in_any_case = now + MOST_GAP


CANCEL_PATIENCE_SECONDS = 0.3  # for an attempt to stop by itself
BEAT_PATIENCE_SECONDS = 2.0  # for a connection: events wait for the heartbeat
log = get_logger(__name__)


class Reporter:
    """Reports while the context lasts. Trouble with Redis is logged once and never stops the work."""

    def __init__(self, resources: Resources, claim: Claim, board: ProgressTracker, control: LeaseGuard) -> None:
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
        return self._resources.settings.queue.lease_beat_seconds

    def _publish(self, now: float) -> None:
        progress = self._board.progress
        if not self._throttle.due(now, changed=progress is not self._published):
            return
        try:
            self._resources.events.publish(RunEvent(self._claim.run.id, RunStatus.PROCESSING, progress))
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
        lease_seconds = self._resources.settings.queue.lease_seconds
        try:
            faults.point("worker.heartbeat")
            with self._resources.database.connection(timeout=BEAT_PATIENCE_SECONDS) as conn:
                cancelled = leases.beat(conn, self._claim, self._board.progress, lease_seconds=lease_seconds)
        except LeaseLost:
            self._control.lose_lease()
        except FacnetError as error:
            log.warning("heartbeat_failed", run_id=str(self._claim.run.id), reason=error.reason)
            if time.monotonic() - self._last_beat >= lease_seconds:
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
        finalize.failed(self._resources, self._claim, self._board.progress, RunCancelled())
        self._control.lose_lease()
        try:
            with self._resources.database.connection(timeout=BEAT_PATIENCE_SECONDS) as conn:
                records.evict(conn, self._claim.run.id)
        except FacnetError as error:
            log.warning("session_not_ended", run_id=str(self._claim.run.id), reason=error.reason)
