"""When to say something: by time, not by rows."""

from __future__ import annotations

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
