"""What may end an attempt from outside: somebody cancelled, another worker took over, or this process has to go.

The thread that works asks between batches and between rules. Nothing is thrown into it from another thread: that could
hit anywhere, also while it holds a lock or a connection.
"""

from __future__ import annotations

import time

from dramatiq.middleware import Shutdown

from facnet_grpc.errors import FacnetError, LeaseLost, RunCancelled


class Stopping:
    """Whether this process has to go. Shared by all attempts of the process."""

    def __init__(self) -> None:
        self._deadline: float | None = None

    def request(self, grace_seconds: float) -> None:
        """Let work go on for `grace_seconds` and no longer."""
        self._deadline = time.monotonic() + grace_seconds

    @property
    def requested(self) -> bool:
        """Whether the process is on its way out."""
        return self._deadline is not None

    @property
    def due(self) -> bool:
        """Whether the grace is over."""
        return self._deadline is not None and time.monotonic() >= self._deadline


class LeaseGuard:
    """What has become known about one attempt while it works."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping
        self._error: FacnetError | None = None

    def cancel(self) -> None:
        """Note that somebody asked for the work to stop."""
        self._error = self._error or RunCancelled()

    def lose_lease(self) -> None:
        """Note that the run may be another worker's by now."""
        self._error = LeaseLost()

    @property
    def error(self) -> FacnetError | None:
        """Why the work has to stop, None unless it was cancelled or has lost its lease."""
        return self._error

    def check(self) -> None:
        """Raise `LeaseLost`, `RunCancelled` or dramatiq's `Shutdown` if the work has to stop."""
        if self._error is not None:
            raise self._error
        if self._stopping.due:
            raise Shutdown
