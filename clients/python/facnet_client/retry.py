"""How long to go on trying: exponential backoff with jitter, bounded by time without progress and by a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """How uploads, watches and exports behave while the server does not answer. All in seconds.

    A server that has never answered is given up on sooner (`connect`) than one that has just been there (`patience`):
    the address may be wrong. Waits grow from `first_delay` to `largest_delay`.
    """

    connect: float = 3.0
    patience: float = 60.0
    first_delay: float = 0.2
    largest_delay: float = 5.0


class Backoff:
    """The waits of one operation. Progress resets them to the first delay.

    Only the waits are counted: an upload that breaks once an hour has all the patience each time.
    """

    def __init__(
        self,
        retry: Retry,
        timeout: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin an operation that has `timeout` seconds in all; None for as many as it takes."""
        self._retry = retry
        self._clock = clock
        self._sleep = sleep
        self._deadline = None if timeout is None else clock() + timeout
        self._delay = retry.first_delay
        self._left = retry.connect
        self._connected = False

    @property
    def remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; None without one."""
        return None if self._deadline is None else max(self._deadline - self._clock(), 0.0)

    def connected(self) -> None:
        """Record that a server has answered at all: from now on `patience` counts, not `connect`."""
        if not self._connected:
            self.progress()

    def progress(self) -> None:
        """Record that something was achieved since the last wait."""
        self._connected = True
        self._delay = self._retry.first_delay
        self._left = self._retry.patience

    def wait(self) -> bool:
        """Sleep before the next try. Returns False, at once, when it is time to give up."""
        remaining = self.remaining
        left = self._left if remaining is None else min(self._left, remaining)
        if left <= 0:
            return False
        pause = min(self._delay * random.uniform(0.5, 1.0), left)  # noqa: S311 - spreads clients, keeps no secret
        self._sleep(pause)
        self._left -= pause
        self._delay = min(self._delay * 2, self._retry.largest_delay)
        return True
