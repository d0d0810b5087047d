"""Events within one process: an in-memory twin of `RedisEvents` for tests and single-process use."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import replace
from threading import Condition
from uuid import UUID

from facnet_grpc.errors import InvalidInput, Reason
from facnet_grpc.events.stream import KEEP_EVENTS, RunEvent, is_position


class MemoryEvents:
    """Events in memory, which never raise `TransientError`."""

    def __init__(self) -> None:
        self._news = Condition()
        self._events: defaultdict[UUID, deque[RunEvent]] = defaultdict(lambda: deque(maxlen=KEEP_EVENTS))
        self._count = 0
        self._woken = False

    def publish(self, event: RunEvent) -> None:
        """Append an event to its run's events."""
        with self._news:
            self._count += 1
            self._events[event.run_id].append(replace(event, position=f"{self._count}-0"))
            self._news.notify_all()

    def latest(self, run_id: UUID) -> RunEvent | None:
        """Return the last event of a run."""
        with self._news:
            kept = self._events.get(run_id)
            return kept[-1] if kept else None

    def tail(self, after: Mapping[UUID, str], *, block_seconds: float) -> list[RunEvent]:
        """Return the events after `after`, waiting for the first one."""
        if not all(is_position(position) for position in after.values()):
            raise InvalidInput(Reason.BAD_CURSOR, field="after_cursor")
        with self._news:
            self._news.wait_for(lambda: self._woken or self._after(after), block_seconds)
            self._woken = False
            return self._after(after)

    def interrupt(self) -> None:
        """Wake `tail()`."""
        with self._news:
            self._woken = True
            self._news.notify_all()

    def forget(self, run_id: UUID) -> None:
        """Remove all events of a run."""
        with self._news:
            self._events.pop(run_id, None)

    def check(self) -> None:
        """Return."""

    def _after(self, after: Mapping[UUID, str]) -> list[RunEvent]:
        return [
            event
            for run_id, position in after.items()
            for event in self._events.get(run_id, ())
            if _number(event.position) > _number(position)
        ]


def _number(position: str) -> tuple[int, ...]:
    return tuple(int(part) for part in position.split("-")) if position else (0, 0)
