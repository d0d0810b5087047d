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
from dataclasses import asdict
from threading import Event as Flag
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self

from facnet_grpc import faults, metrics
from facnet_grpc.errors import FacnetError, LeaseLost, RunCancelled
from facnet_grpc.events.stream import RunEvent
from facnet_grpc.gen.facnet.v1.run_progress_pb2 import RunProgress
from facnet_grpc.logs import get_logger
from facnet_grpc.model.result import MAX_PREVIEWS, ResultPreview
from facnet_grpc.model.run import Claim, RunPhase, RunStatus, SeverityCounts
from facnet_grpc.storage.postgres import leases, records
from workers.validation import finalize
from workers.validation.lease_guard import LeaseGuard
from workers.validation.resources import Resources

PARSING, LOADING, RULES, RESULTS = 50.0, 25.0, 15.0, 10.0
_STORED = ("percent", "bytes_parsed", "rows_parsed", "rows_loaded", "rows_rejected")


class ProgressTracker:
    """Written by the threads that work, read by the one that reports."""

    def __init__(self, attempt: int, total_bytes: int) -> None:
        self._lock = Lock()
        self._phase = RunPhase.LOADING
        self._progress = RunProgress(attempt=attempt, total_bytes=total_bytes, **_phase(RunPhase.LOADING))
        self._bytes_loaded = 0

    @property
    def progress(self) -> RunProgress:
        """The current figures: the same object until something changes, and never modified."""
        return self._progress

    def columns(self) -> dict[str, Any]:
        """Return the current figures as `leases.extend` stores them."""
        progress, counts = self._progress, self._progress.result_counts
        figures = {name: getattr(progress, name) for name in _STORED}
        severities = {name: getattr(counts, name) for name in ("error", "warning", "optimization", "info")}
        return {"phase": self._phase, **figures, **severities}

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
        shown = len(self._progress.preview)
        added = [_preview(number, result) for number, result in enumerate(preview, shown + 1)][: MAX_PREVIEWS - shown]
        self._move(percent, RunPhase.RULES, result_counts=asdict(counts), preview=added)

    def stored(self, *, done: int, total: int) -> None:
        """Note that `done` of `total` results are stored."""
        self._move(PARSING + LOADING + RULES + RESULTS * _share(done, total), RunPhase.STORING_RESULTS)

    def finished(self) -> RunProgress:
        """Note that everything is committed, and return the last figures."""
        self.stored(done=1, total=1)
        return self.progress

    def _move(self, percent: float | None = None, phase: RunPhase | None = None, **figures: Any) -> None:
        """Replace the progress by one with these figures. Figures only grow, and a preview is added to the others."""
        with self._lock:
            self._phase = phase or self._phase
            moved = RunProgress()
            moved.CopyFrom(self._progress)
            moved.MergeFrom(RunProgress(**figures, **_phase(self._phase)))
            reached = self._load_percent(moved) if percent is None else percent
            moved.percent = min(100.0, max(moved.percent, reached))
            self._progress = moved

    def _load_percent(self, progress: RunProgress) -> float:
        total = progress.total_bytes
        return PARSING * _share(progress.bytes_parsed, total) + LOADING * _share(self._bytes_loaded, total)


def _phase(phase: RunPhase) -> dict[str, Any]:
    """Return the field of `RunProgress`; protobuf takes enumerations by name."""
    return {"phase": f"VALIDATION_PHASE_{phase}"}


def _preview(number: int, result: ResultPreview) -> dict[str, Any]:
    """Return the fields of a `ValidationResult`: those of `ResultPreview` and no others, because Redis holds no PHI."""
    record_number = result.record_number
    return {
        **asdict(result),
        "result_number": number,
        "severity": f"SEVERITY_{result.severity.upper()}",
        "certainty": f"CERTAINTY_{result.certainty.upper()}",
        "affected_records": [] if record_number is None else [record_number],
    }


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
        self._published: RunProgress | None = None
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
                cancelled = leases.extend(conn, self._claim, self._board.columns(), lease_seconds=lease_seconds)
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
