"""Progress of an attempt: its figures, and the thread beside it that publishes them and renews the lease.

Parsing counts for 50 %, loading for 25 %, rules for 15 % and storing results for 10 %. Parsing and loading overlap, so
their shares are added.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from threading import Event, Lock, Thread
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
MIN_PUBLISH_SECONDS = 0.1  # at most ten events a second
MAX_PUBLISH_SECONDS = 1.0  # at least one a second, also when nothing changes
CANCEL_GRACE_SECONDS = 0.3  # for a cancelled attempt to stop by itself
CONNECTION_SECONDS = 2.0  # to wait for a connection; publishing waits as well
_STORED = ("percent", "bytes_parsed", "rows_parsed", "rows_loaded", "rows_rejected")
log = get_logger(__name__)


class ProgressTracker:
    """Written by the threads of the attempt, read by the reporter. The percentage never decreases."""

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

    def update_parsed(self, *, bytes_parsed: int, rows_parsed: int, rows_rejected: int) -> None:
        """Set how much of the file has been parsed so far."""
        self._update(bytes_parsed=bytes_parsed, rows_parsed=rows_parsed, rows_rejected=rows_rejected)

    def update_loaded(self, *, bytes_loaded: int, rows_loaded: int) -> None:
        """Set how much of the file PostgreSQL has received so far."""
        self._bytes_loaded = bytes_loaded
        self._update(rows_loaded=rows_loaded)

    def update_rules(
        self, *, done: int, total: int, counts: SeverityCounts, preview: tuple[ResultPreview, ...] = ()
    ) -> None:
        """Set that `done` of `total` rules were evaluated, with all results so far; `preview` is of the last rule."""
        percent = PARSING + LOADING + RULES * _share(done, total)
        count = len(self._progress.preview)
        added = [_preview(number, result) for number, result in enumerate(preview, count + 1)][: MAX_PREVIEWS - count]
        self._update(percent, RunPhase.RULES, result_counts=asdict(counts), preview=added)

    def update_results(self, *, done: int, total: int) -> None:
        """Set that `done` of `total` results have been stored."""
        self._update(PARSING + LOADING + RULES + RESULTS * _share(done, total), RunPhase.STORING_RESULTS)

    def finish(self) -> RunProgress:
        """Set that everything is committed, and return the final figures."""
        self.update_results(done=1, total=1)
        return self.progress

    def _update(self, percent: float | None = None, phase: RunPhase | None = None, **figures: Any) -> None:
        """Replace the progress by one with these figures. Figures only grow, and a preview is added to the others."""
        with self._lock:
            self._phase = phase or self._phase
            updated = RunProgress()
            updated.CopyFrom(self._progress)
            updated.MergeFrom(RunProgress(**figures, **_phase(self._phase)))
            new_percent = self._load_percent(updated) if percent is None else percent
            updated.percent = min(100.0, max(updated.percent, new_percent))
            self._progress = updated

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


class Reporter:
    """A thread beside an attempt: it publishes progress, renews the lease, and notices that the run was cancelled.

    The attempt checks its guard between batches and rules. One that does not get there soon after a cancellation (a
    COPY waits, a rule takes long) is ended from here: the run is finalized and the database session of its rows killed.
    Redis being unavailable is logged once and never stops the attempt.
    """

    def __init__(
        self,
        resources: Resources,
        claim: Claim,
        tracker: ProgressTracker,
        guard: LeaseGuard,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resources = resources
        self._claim = claim
        self._tracker = tracker
        self._guard = guard
        self._clock = clock
        self._published: RunProgress | None = None
        self._publishing_failed = False
        self._due_if_changed = self._due_if_unchanged = float("-inf")
        self._last_beat = clock()  # the claim was the first
        self._cancelled_at: float | None = None
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="reporter", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the thread and wait for it: no event and no heartbeat is sent after this."""
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Begin nothing more. To be called before the run ends: a later heartbeat would find the lease lost."""
        self._stopped.set()

    def step(self) -> None:
        """Do what is due now."""
        now = self._clock()
        self._publish(now)
        if self._cancelled_at is not None:
            self._enforce_cancel(now - self._cancelled_at)
        elif self._clock() - self._last_beat >= self._beat_seconds:
            self._beat(now)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.step()
            self._stopped.wait(min(MIN_PUBLISH_SECONDS, self._beat_seconds))

    @property
    def _beat_seconds(self) -> float:
        return self._resources.settings.queue.lease_beat_seconds

    def _publish(self, now: float) -> None:
        progress = self._tracker.progress
        if now < (self._due_if_unchanged if progress is self._published else self._due_if_changed):
            return
        self._due_if_changed = self._due_if_unchanged = now + MAX_PUBLISH_SECONDS
        try:
            self._resources.events.publish(RunEvent(self._claim.run.id, RunStatus.PROCESSING, progress))
            faults.point("worker.progress.published")
        except FacnetError as error:
            metrics.EVENT_PUBLISH_FAILURES.inc()
            if not self._publishing_failed:
                log.warning("events_not_published", run_id=str(self._claim.run.id), reason=error.reason)
            self._publishing_failed = True
        else:
            self._due_if_changed = now + MIN_PUBLISH_SECONDS
            self._published = progress

    def _beat(self, now: float) -> None:
        lease_seconds = self._resources.settings.queue.lease_seconds
        try:
            faults.point("worker.heartbeat")
            with self._resources.database.connection(timeout=CONNECTION_SECONDS) as conn:
                cancelled = leases.extend(conn, self._claim, self._tracker.columns(), lease_seconds=lease_seconds)
        except LeaseLost:
            self._guard.lose_lease()
        except FacnetError as error:
            log.warning("heartbeat_failed", run_id=str(self._claim.run.id), reason=error.reason)
            if self._clock() - self._last_beat >= lease_seconds:
                self._guard.lose_lease()
        else:
            self._last_beat = now
            if cancelled:
                self._guard.cancel()
                self._cancelled_at = now

    def _enforce_cancel(self, seconds: float) -> None:
        """Finalize a run whose attempt has not stopped `seconds` after its cancellation; it finds its lease lost."""
        if seconds < CANCEL_GRACE_SECONDS or self._stopped.is_set():
            return
        self.stop()
        finalize.fail(self._resources, self._claim, self._tracker.progress, RunCancelled())
        self._guard.lose_lease()
        try:
            with self._resources.database.connection(timeout=CONNECTION_SECONDS) as conn:
                records.evict(conn, self._claim.run.id)
        except FacnetError as error:
            log.warning("session_not_ended", run_id=str(self._claim.run.id), reason=error.reason)
