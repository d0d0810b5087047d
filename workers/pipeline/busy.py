"""Which runs this process is at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from uuid import UUID


class Busy:
    """Remembers runs for as long as somebody works on them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._at: list[UUID] = []

    @contextmanager
    def at(self, run_id: UUID) -> Iterator[None]:
        """Remember a run in a `with` statement."""
        with self._lock:
            self._at.append(run_id)
        try:
            yield
        finally:
            with self._lock:
                self._at.remove(run_id)

    def run_ids(self) -> tuple[UUID, ...]:
        """Return the runs."""
        with self._lock:
            return tuple(self._at)
