"""How long to go on trying: exponential backoff with jitter, bounded by time without progress."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """How uploads and watches behave while the server does not answer. All in seconds.

    A server that has never answered is given up on sooner than one that has just been there: the address may be wrong.
    """

    connect: float = 3.0
    patience: float = 60.0
    first_delay: float = 0.2
    largest_delay: float = 5.0


class Backoff:
    """The waits of one operation. Whoever makes progress starts from the first delay again.

    Only the waits are counted: an upload that breaks once an hour has all the patience each time.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._delay = retry.first_delay
        self._left = retry.connect
        self._connected = False

    def connected(self) -> None:
        """Note that a server has answered at all: it deserves the whole patience, once."""
        if not self._connected:
            self.progress()

    def progress(self) -> None:
        """Note that something was achieved since the last wait."""
        self._connected = True
        self._delay = self._retry.first_delay
        self._left = self._retry.patience

    def wait(self) -> bool:
        """Sleep before the next try. Returns False, at once, when it is time to give up."""
        if self._left <= 0:
            return False
        pause = min(self._delay * random.uniform(0.5, 1.0), self._left)  # noqa: S311 - spreads clients, keeps no secret
        time.sleep(pause)
        self._left -= pause
        self._delay = min(self._delay * 2, self._retry.largest_delay)
        return True
