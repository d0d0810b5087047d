"""What can stop an attempt from outside: a cancellation, a lost lease, or the shutdown of the process.

The working thread calls `LeaseGuard.check` between batches and between rules. Nothing is raised in it from another
thread: that could happen anywhere, also while it holds a lock or a connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dramatiq.middleware import Shutdown

from facnet_grpc.errors import FacnetError, LeaseLost, RunCancelled


class GracefulShutdown:
    """Whether this process is shutting down, and until when its attempts may go on. Shared by all of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deadline: float | None = None

    def request(self, grace_seconds: float) -> None:
        """Begin: attempts may go on for `grace_seconds`."""
        self._deadline = self._clock() + grace_seconds

    @property
    def requested(self) -> bool:
        """Whether the process is shutting down."""
        return self._deadline is not None

    @property
    def expired(self) -> bool:
        """Whether attempts have to stop."""
        return self._deadline is not None and self._clock() >= self._deadline


class LeaseGuard:
    """Tells one attempt whether it has to stop. Written by the reporter's thread, read by the working one."""

    def __init__(self, shutdown: GracefulShutdown) -> None:
        self._shutdown = shutdown
        self._error: FacnetError | None = None

    def cancel(self) -> None:
        """Record that a caller cancelled the run; a lost lease takes precedence."""
        self._error = self._error or RunCancelled()

    def lose_lease(self) -> None:
        """Record that another worker may have the run."""
        self._error = LeaseLost()

    @property
    def error(self) -> FacnetError | None:
        """Why the attempt has to stop; None unless it was cancelled or has lost its lease."""
        return self._error

    def check(self) -> None:
        """Raise `LeaseLost`, `RunCancelled` or dramatiq's `Shutdown` if the attempt has to stop."""
        if self._error is not None:
            raise self._error
        if self._shutdown.expired:
            raise Shutdown
