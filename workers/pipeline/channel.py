"""A bounded hand-over from the thread that parses to the thread that loads: whoever is faster waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")
POLL_SECONDS = 0.2  # how long a receiver with nothing to do goes without looking up


class Channel(Generic[Item]):
    """A queue of `capacity` items with an end on the sender's side and a way out on the receiver's."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._changed = Condition()
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: Item) -> bool:
        """Hand over `item`, waiting for room. Returns False once the receiver wants no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing more will come, and what went wrong if something did."""
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing more: a sender that waits for room is let go."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def items(self, check: Callable[[], None]) -> Iterator[Item]:
        """Yield what is handed over; raise what the sender ended with. `check` is called at least every 0.2 s."""
        while True:
            check()
            with self._changed:
                if not self._changed.wait_for(lambda: self._items or self._ended, POLL_SECONDS):
                    continue
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error
